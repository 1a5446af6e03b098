//! `--set key.path=value`: overrides on the tree of the run config, before it is read.

use std::path::Path;
use std::sync::Arc;

use super::layers::SET;
use crate::support::yaml::{self, Context, Node, Place, Source};

/// Splits a path into its keys, each with its place.
fn keys<'a>(path: &'a str, source: &Arc<Source>) -> Vec<(&'a str, Place)> {
    let mut start = path.len() - path.trim_start().len();
    path.trim()
        .split('.')
        .map(|key| {
            let span = start..start + key.len();
            start = span.end + 1;
            (key, Place { source: Arc::clone(source), span })
        })
        .collect()
}

/// Applies the flags in order. The path names keys, and entries of lists by their number from 0; the value is YAML, and nothing unsets.
pub(super) fn apply(root: &mut Node, sets: &[String], context: &Context) {
    for set in sets {
        let source = Arc::new(Source { name: Path::new(SET).to_owned(), text: set.clone() });
        let Some((path, _)) = set.split_once('=').filter(|(path, _)| !path.trim().is_empty()) else {
            context.find(
                &Place { source, span: 0..set.len() },
                "`--set` takes `key.path=value`",
                "no key and `=` here",
                Some("like `--set resources.cpus=4`".to_owned()),
            );
            continue;
        };
        let (node, findings) = yaml::parse_from(&source, path.len() + 1);
        context.extend(findings);
        let Some(node) = node else { continue };
        let keys = keys(path, &source);
        if let Err(key) = root.set(&keys, node) {
            context.find(
                &Place { source, span: 0..path.len() },
                format!("`{}` cannot be set", path.trim()),
                format!("there is no place for `{key}`"),
                Some("a mapping takes keys, and a list takes the numbers of its entries".to_owned()),
            );
        }
    }
}
