//! Which roles run in a process.

use crate::config::ConfigError;

/// The roles, with what they need to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Everything.
    All,
    /// Queries alone, over series of other nodes.
    Querier {
        /// Their addresses.
        nodes: Vec<String>,
    },
}

impl Target {
    /// From the settings `target` (`None`: not given) and `querier.nodes`.
    pub(crate) fn new(target: Option<&str>, nodes: Vec<String>) -> Result<Self, ConfigError> {
        let wrong = |flag, message: String| Err(ConfigError::Flag { flag, message });
        let twice = nodes.iter().enumerate().find(|(i, node)| nodes[..*i].contains(node));
        if let Some((_, node)) = twice {
            return wrong("querier.nodes", format!("`{node}` is named twice; its series would count twice"));
        }
        match target.unwrap_or("all") {
            "all" if nodes.is_empty() => Ok(Target::All),
            "all" => wrong("querier.nodes", "is for `--target=querier` alone".to_owned()),
            "querier" if nodes.is_empty() => wrong(
                "querier.nodes",
                "`--target=querier` needs the addresses of the nodes that hold series; expected HOST:PORT,HOST:PORT"
                    .to_owned(),
            ),
            "querier" => Ok(Target::Querier { nodes }),
            other => wrong(
                "target",
                format!("`{other}` is not available in this version; expected `all` or `querier`"),
            ),
        }
    }

    /// As the setting names it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Target::All => "all",
            Target::Querier { .. } => "querier",
        }
    }

    /// The nodes that queries read.
    pub(crate) fn nodes(&self) -> &[String] {
        match self {
            Target::All => &[],
            Target::Querier { nodes } => nodes,
        }
    }

    /// The nodes as a list in a file.
    pub(crate) fn nodes_yaml(&self) -> String {
        self.nodes().iter().map(|node| format!("{node:?}")).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_querier_needs_nodes_and_nobody_else_does() {
        let nodes = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(Target::new(None, vec![]).unwrap(), Target::All);
        let querier = Target::new(Some("querier"), nodes(&["a:1", "b:1"])).unwrap();
        assert_eq!((querier.name(), querier.nodes()), ("querier", &nodes(&["a:1", "b:1"])[..]));
        for (target, names, text) in [
            ("querier", &[][..], "--querier.nodes: `--target=querier` needs"),
            ("querier", &["a:1", "a:1"], "--querier.nodes: `a:1` is named twice"),
            ("all", &["a:1"], "--querier.nodes: is for `--target=querier`"),
            ("ruler", &[], "--target: `ruler` is not available"),
        ] {
            let error = Target::new(Some(target), nodes(names)).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
    }
}
