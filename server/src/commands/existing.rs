//! Files that a command is given must be there before it begins.

use std::path::{Path, PathBuf};

/// Tells of the first path that is no file; `true` when there is none.
pub(crate) fn all_exist(paths: &[PathBuf]) -> bool {
    let fault = paths.iter().find_map(|path| fault(path));
    if let Some(fault) = &fault {
        eprintln!("epimetheus: error: {fault}, try --help");
    }
    fault.is_none()
}

fn fault(path: &Path) -> Option<String> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Some(format!("path '{}' does not exist", path.display()))
        }
        Err(error) => Some(format!("{}: {error}", path.display())),
        Ok(about) if about.is_dir() => Some(format!("'{}' is a directory", path.display())),
        Ok(_) => None,
    }
}
