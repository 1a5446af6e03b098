//! `--set key.path=value`: overrides on the tree of the run config, before it is read.

use std::path::Path;
use std::sync::Arc;

use super::Flags;
use super::layers::SET;
use super::settings::Settings;
use crate::support::yaml::{self, Context, Node, Place, Source, Value};
use crate::target::config::Kind;

/// The key whose value may be a name that stands for a mapping.
const TARGET: &str = "compute_target";

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
///
/// A key of a target that is chosen by its name makes a mapping of the name, also of `--target`'s, which is taken away then.
pub(super) fn apply(root: &mut Node, flags: &mut Flags, settings: &[Settings], context: &Context) {
    for set in flags.set.clone() {
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
        let place = Place { source: Arc::clone(&source), span: 0..path.len() };
        let refuse = |reason: String, fix: String| context.find(&place, format!("`{}` cannot be set", path.trim()), reason, Some(fix));
        if keys.len() > 1
            && keys[0].0 == TARGET
            && let Err(name) = write_out(root, flags, settings, &place)
        {
            let fix = format!("change it there, or write a target out: `--set '{TARGET}={{type: docker, {}: ...}}'`", keys[1].0);
            refuse(format!("the keys of the target `{name}` stand in the settings"), fix);
            continue;
        }
        if let Err(key) = root.set(&keys, node) {
            let fix = match holder(root, &keys) {
                Some(holder) => format!("`{holder}` is a single value, which `--set {holder}=...` replaces"),
                None => "a mapping takes keys, and a list takes the numbers of its entries".to_owned(),
            };
            refuse(format!("there is no place for `{key}`"), fix);
        }
    }
}

/// Returns the path of the single value that a longer path leads into, if there is one.
fn holder(root: &Node, keys: &[(&str, Place)]) -> Option<String> {
    let mut node = root;
    for (index, (key, _)) in keys.iter().enumerate() {
        node = match &node.value {
            Value::Map(_) => node.get(key)?,
            Value::List(items) => items.get(key.parse::<usize>().ok()?)?,
            Value::Scalar { .. } => {
                return Some(keys[..index].iter().map(|(key, _)| *key).collect::<Vec<_>>().join("."));
            }
        };
    }
    None
}

/// Makes a mapping of the target that is chosen by its name, so that it can take keys; fails with the name of one that has keys elsewhere.
fn write_out(root: &mut Node, flags: &mut Flags, settings: &[Settings], place: &Place) -> Result<(), String> {
    let written = root.get(TARGET).filter(|node| !node.is_null());
    let by_default = || settings.iter().find_map(|settings| settings.document.compute_target.as_ref()).map(|name| name.text.clone());
    let (name, at) = match (&flags.target, written) {
        (Some(flag), _) => (flag.clone(), place.clone()),
        (None, Some(node)) => match node.text() {
            Some(name) => (name.to_owned(), node.place.clone()),
            None => return Ok(()),
        },
        (None, None) => match by_default() {
            Some(name) => (name, place.clone()),
            None => return Ok(()),
        },
    };
    if settings.iter().any(|settings| settings.target(&name).is_some()) {
        return Err(name);
    }
    let built_in = [Kind::Local, Kind::Docker].into_iter().any(|kind| kind.word() == name);
    // Another name means nothing, which is said where names are looked up.
    if let (true, Value::Map(entries)) = (built_in, &mut root.value) {
        let scalar = |text: &str| Node { value: Value::Scalar { text: text.to_owned(), plain: true }, place: at.clone() };
        let target = Node { value: Value::Map(vec![(scalar("type"), scalar(&name))]), place: at.clone() };
        entries.retain(|(key, _)| key.text() != Some(TARGET));
        entries.push((scalar(TARGET), target));
        flags.target = None;
    }
    Ok(())
}
