//! Reads mappings key by key and collects everything that is wrong, instead of stopping at the first.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::{Finding, Node, Source, Value};
use crate::support::suggest;

/// Where findings and notes go while a document is read.
#[derive(Debug, Default)]
pub struct Context {
    findings: RefCell<Vec<Finding>>,
    notes: RefCell<Vec<String>>,
}

impl Context {
    /// Records that a node is wrong.
    pub fn find(&self, node: &Node, message: impl Into<String>, reason: impl Into<String>, fix: Option<String>) {
        self.find_at(&node.source, node.span.clone(), message, reason, fix);
    }

    /// Records that some bytes are wrong.
    pub fn find_at(
        &self,
        source: &Arc<Source>,
        span: Range<usize>,
        message: impl Into<String>,
        reason: impl Into<String>,
        fix: Option<String>,
    ) {
        self.findings.borrow_mut().push(Finding { message: message.into(), reason: reason.into(), fix, source: Arc::clone(source), span });
    }

    /// Takes findings from elsewhere.
    pub fn extend(&self, findings: Vec<Finding>) {
        self.findings.borrow_mut().extend(findings);
    }

    /// Records something that the user should know and that is not wrong.
    pub fn note(&self, note: impl Into<String>) {
        self.notes.borrow_mut().push(note.into());
    }

    /// Returns the findings in the order of their places, and the notes.
    pub fn finish(self) -> (Vec<Finding>, Vec<String>) {
        let mut findings = self.findings.into_inner();
        findings.sort_by_key(|finding| (finding.source.name.clone(), finding.span.start));
        (findings, self.notes.into_inner())
    }
}

/// A mapping that is being read; [`Fields::finish`] reports the keys that nobody asked for.
pub struct Fields<'a> {
    node: &'a Node,
    context: &'a Context,
    path: String,
    known: BTreeSet<&'static str>,
    seen: BTreeSet<String>,
}

impl<'a> Fields<'a> {
    /// Starts to read a mapping; anything else but nothing is a finding, and reads as an empty mapping.
    pub fn of(node: &'a Node, path: &str, context: &'a Context) -> Self {
        if !matches!(node.value, Value::Map(_)) && !node.is_null() {
            let name = if path.is_empty() { "the document".to_owned() } else { format!("`{path}`") };
            context.find(
                node,
                format!("{name} must be a mapping"),
                format!("this is {}", node.shape()),
                Some("write `key: value` lines".to_owned()),
            );
        }
        Self { node, context, path: path.to_owned(), known: BTreeSet::new(), seen: BTreeSet::new() }
    }

    /// Returns the full name of a key.
    pub fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Returns where findings go.
    pub fn context(&self) -> &'a Context {
        self.context
    }

    /// Returns the mapping.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// Returns the value of a key, unless it is nothing.
    pub fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.insert(key);
        self.seen.insert(key.to_owned());
        self.node.get(key).filter(|node| !node.is_null())
    }

    /// Like [`Fields::get`], for a key that has another name elsewhere, which is accepted with a note.
    pub fn get_or_alias(&mut self, key: &'static str, aliases: &[&'static str]) -> Option<&'a Node> {
        let found = self.get(key);
        for alias in aliases {
            self.seen.insert((*alias).to_owned());
            let Some(node) = self.node.get(alias) else { continue };
            if found.is_some() {
                self.context.find(
                    node,
                    format!("`{alias}` and `{key}` are the same key"),
                    "the second of them",
                    Some(format!("keep `{key}`")),
                );
            } else {
                self.context.note(format!("`{}` was read as `{}`", self.name(alias), self.name(key)));
                return Some(node).filter(|node| !node.is_null());
            }
        }
        found
    }

    /// Reads a scalar by its source text.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        let node = self.get(key)?;
        self.scalar(node, &self.name(key))
    }

    /// Reads a scalar node by its source text, or records that it is not one.
    pub fn scalar(&self, node: &Node, name: &str) -> Option<String> {
        if node.text().is_none() {
            self.context.find(node, format!("`{name}` must be a single value"), format!("this is {}", node.shape()), None);
        }
        node.text().map(str::to_owned)
    }

    /// Reads a scalar that has a grammar of its own.
    pub fn parsed<T, E: std::fmt::Display>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
        example: &str,
    ) -> Option<T> {
        let node = self.get(key)?;
        self.parse_node(node, key, parse, example)
    }

    /// Reads a scalar node that has a grammar of its own.
    pub fn parse_node<T, E: std::fmt::Display>(
        &self,
        node: &Node,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
        example: &str,
    ) -> Option<T> {
        let text = self.scalar(node, &self.name(key))?;
        match parse(text.trim()) {
            Ok(value) => Some(value),
            Err(error) => {
                self.context.find(
                    node,
                    format!("`{}` cannot be read", self.name(key)),
                    error.to_string(),
                    Some(format!("write it like `{example}`")),
                );
                None
            }
        }
    }

    /// Reads a truth value.
    pub fn flag(&mut self, key: &'static str) -> Option<bool> {
        let parse = |text: &str| match text {
            "true" | "True" | "yes" | "on" => Ok(true),
            "false" | "False" | "no" | "off" => Ok(false),
            _ => Err("expected `true` or `false`"),
        };
        self.parsed(key, parse, &format!("{key}: true"))
    }

    /// Reads a list of scalars; a single scalar is a list of one.
    pub fn texts(&mut self, key: &'static str) -> Vec<(String, &'a Node)> {
        let Some(node) = self.get(key) else { return Vec::new() };
        self.text_list(node, key)
    }

    /// Reads a list node of scalars.
    pub fn text_list(&self, node: &'a Node, key: &str) -> Vec<(String, &'a Node)> {
        match &node.value {
            Value::Scalar { text, .. } => vec![(text.clone(), node)],
            Value::List(items) => {
                let name = format!("an entry of `{}`", self.name(key));
                items.iter().filter_map(|item| Some((self.scalar(item, &name)?, item))).collect()
            }
            Value::Map(_) => {
                self.context.find(
                    node,
                    format!("`{}` must be a list", self.name(key)),
                    "this is a mapping",
                    Some(format!("write `{key}: [a, b]`, or a line `- a` for each")),
                );
                Vec::new()
            }
        }
    }

    /// Reads a mapping of scalars in the order written.
    pub fn pairs(&mut self, key: &'static str) -> Vec<(String, String, &'a Node)> {
        self.entries(key)
            .into_iter()
            .filter_map(|(name, key_node, value)| {
                Some((name.clone(), self.scalar(value, &format!("{}.{name}", self.name(key)))?, key_node))
            })
            .collect()
    }

    /// Returns the entries of a mapping: name, key node, value node.
    pub fn entries(&mut self, key: &'static str) -> Vec<(String, &'a Node, &'a Node)> {
        let Some(node) = self.get(key) else { return Vec::new() };
        if let Value::Map(entries) = &node.value {
            return entries.iter().filter_map(|(name, value)| Some((name.text()?.to_owned(), name, value))).collect();
        }
        self.context.find(
            node,
            format!("`{}` must be a mapping", self.name(key)),
            format!("this is {}", node.shape()),
            Some(format!("write `{key}: {{NAME: value}}`")),
        );
        Vec::new()
    }

    /// Starts to read a mapping inside this one.
    pub fn section(&mut self, key: &'static str) -> Option<Fields<'a>> {
        let node = self.get(key)?;
        Some(Fields::of(node, &self.name(key), self.context))
    }

    /// Reports the keys that nobody asked for.
    pub fn finish(self) {
        let Value::Map(entries) = &self.node.value else { return };
        for (key, _) in entries {
            let Some(text) = key.text().filter(|text| !self.seen.contains(*text)) else { continue };
            let fix = match suggest::nearest(text, self.known.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("the keys here are {}", crate::support::words::all_of(&self.known)),
            };
            self.context.find(key, format!("unknown key `{}`", self.name(text)), "no key of this name", Some(fix));
        }
    }
}
