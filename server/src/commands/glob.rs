//! Patterns of paths: `*`, `?`, `[a-z]` and `\\`, none of them across a `/`.

use std::path::{Path, PathBuf};

/// The paths that match, sorted; a pattern without signs matches the path that is there.
///
/// # Errors
/// A pattern that is none.
pub(crate) fn glob(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![if pattern.starts_with('/') { PathBuf::from("/") } else { PathBuf::new() }];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        if !part.contains(['*', '?', '[', '\\']) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        matches(part, "")?;
        let mut next = Vec::new();
        for folder in found {
            let list = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
            let Ok(entries) = std::fs::read_dir(list) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name();
                if matches(part, &name.to_string_lossy())? {
                    next.push(folder.join(name));
                }
            }
        }
        found = next;
    }
    found.retain(|path| path.symlink_metadata().is_ok());
    found.sort();
    Ok(found)
}

/// Whether a name matches one part of a pattern.
fn matches(pattern: &str, name: &str) -> Result<bool, String> {
    let bad = || "syntax error in pattern".to_owned();
    let mut regex = "(?s)^".to_owned();
    let mut signs = pattern.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => {
                regex.push('[');
                if signs.next_if_eq(&'^').is_some() {
                    regex.push('^');
                }
                let mut count = 0;
                loop {
                    match signs.next().ok_or_else(bad)? {
                        ']' if count > 0 => break,
                        ']' => return Err(bad()),
                        '-' => regex.push('-'),
                        '\\' => regex.push_str(&regex::escape(&signs.next().ok_or_else(bad)?.to_string())),
                        c => regex.push_str(&regex::escape(&c.to_string())),
                    }
                    count += 1;
                }
                regex.push(']');
            }
            '\\' => regex.push_str(&regex::escape(&signs.next().ok_or_else(bad)?.to_string())),
            c => regex.push_str(&regex::escape(&c.to_string())),
        }
    }
    regex.push('$');
    regex::Regex::new(&regex).map(|regex| regex.is_match(name)).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_a_shell() {
        assert_eq!(matches("*.y?ml", "a.yaml"), Ok(true));
        assert_eq!(matches("[a-c]*.yml", "b.yml"), Ok(true));
        assert_eq!(matches("[^a-c].yml", "b.yml"), Ok(false));
        assert_eq!(matches("a\\*b", "a*b"), Ok(true));
        assert_eq!(matches("a+", "aa"), Ok(false));
        assert_eq!(matches("[a", "a"), Err("syntax error in pattern".to_owned()));
    }
}
