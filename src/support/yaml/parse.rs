//! Text to node tree, within a budget.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use granit_parser::{Event, Options, Parser, ScalarStyle};

use super::{Finding, Node, Place, Source, Value};

/// Bytes that a file may have.
const MAX_BYTES: usize = 1024 * 1024;
/// Nodes that a document may have once its aliases are followed.
const MAX_NODES: usize = 100_000;
/// How deep a document may nest.
const MAX_DEPTH: usize = 64;

/// Reads a document into nodes; an empty document is a null scalar.
///
/// Duplicate keys are findings, merge keys (`<<`) are resolved with explicit keys winning, and documents that would grow beyond the budget
/// (size, depth, aliases of aliases) are refused.
pub fn parse(name: &Path, text: &str) -> (Option<Node>, Vec<Finding>) {
    let (bytes, head) = (text.len(), text.strip_prefix('\u{feff}').unwrap_or(text));
    let shown = if bytes > MAX_BYTES { String::new() } else { head.to_owned() };
    let source = Arc::new(Source { name: name.to_owned(), text: shown });
    if bytes > MAX_BYTES {
        let mut builder = Builder::new(source, 0);
        builder.find(
            0..0,
            format!("the file has {}, more than a run config may have", crate::support::words::Size(bytes as u64)),
            "at most 1 MiB is read",
            Some("data belongs into the source directory or an input".to_owned()),
        );
        return (None, builder.findings);
    }
    parse_from(&source, 0)
}

/// Reads what stands from a byte of a text to its end.
pub fn parse_from(source: &Arc<Source>, start: usize) -> (Option<Node>, Vec<Finding>) {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut builder = Builder::new(Arc::clone(source), start);
    let mut parser = Parser::new_from_str_with_options(&source.text[start..], options);
    let root = builder.document(&mut parser);
    (root, builder.findings)
}

struct Builder {
    source: Arc<Source>,
    /// Where in the source the parser's text starts.
    start: usize,
    findings: Vec<Finding>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

/// The document cannot be read any further; the reason is among the findings.
struct Stop;

impl Builder {
    fn new(source: Arc<Source>, start: usize) -> Self {
        Self { source, start, findings: Vec::new(), anchors: HashMap::new(), nodes: 0 }
    }

    fn find(&mut self, span: Range<usize>, message: impl Into<String>, reason: impl Into<String>, fix: Option<String>) {
        self.findings.push(Finding { message: message.into(), reason: reason.into(), fix, place: self.place(span) });
    }

    fn node(&self, span: Range<usize>, value: Value) -> Node {
        Node { value, place: self.place(span) }
    }

    fn place(&self, span: Range<usize>) -> Place {
        Place { source: Arc::clone(&self.source), span }
    }

    fn document<'t, T: granit_parser::BorrowedInput<'t>>(&mut self, parser: &mut Parser<'t, T>) -> Option<Node> {
        let mut root = None;
        loop {
            let (event, span) = self.next(parser).ok()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) => {
                    if root.is_some() {
                        self.find(
                            span,
                            "there is more than one document",
                            "a second document starts here",
                            Some("keep one run config per file".to_owned()),
                        );
                        return None;
                    }
                }
                event => root = Some(self.build(parser, event, span, 0).ok()?),
            }
        }
        Some(root.unwrap_or_else(|| self.node(self.start..self.start, Value::Scalar { text: String::new(), plain: true })))
    }

    fn next<'t, T: granit_parser::BorrowedInput<'t>>(&mut self, parser: &mut Parser<'t, T>) -> Result<(Event<'t>, Range<usize>), Stop> {
        match parser.next_event() {
            Some(Ok((event, span))) => {
                let range = span.byte_range().unwrap_or(0..0);
                Ok((event, self.start + range.start..self.start + range.end))
            }
            Some(Err(error)) => {
                let marker = error.marker();
                let at = self.start + marker.byte_offset().unwrap_or_else(|| self.byte_at(marker.line(), marker.col()));
                let line_start = self.source.text[..at.min(self.source.text.len())].rfind('\n').map_or(0, |newline| newline + 1);
                let indent_end = self.source.text[line_start..].find(|c: char| !c.is_whitespace()).map_or(line_start, |n| line_start + n);
                if let Some(tab) = self.source.text[line_start..indent_end].find('\t') {
                    let tab = line_start + tab;
                    self.find(tab..tab + 1, "this is not YAML: a tab indents a line", "a tab", Some("indent with spaces".to_owned()));
                } else {
                    let at = at.min(self.source.text.len());
                    let end = self.source.text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
                    self.find(at..end, "this is not YAML", error.info(), None);
                }
                Err(Stop)
            }
            None => Err(Stop),
        }
    }

    fn byte_at(&self, line: usize, column: usize) -> usize {
        let text = &self.source.text[self.start..];
        let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let rest = &text[start..];
        start + rest.char_indices().nth(column).map_or(rest.len(), |(byte, _)| byte)
    }

    fn count(&mut self, more: usize, span: &Range<usize>) -> Result<(), Stop> {
        self.nodes += more;
        if self.nodes > MAX_NODES {
            self.find(
                span.clone(),
                "the document grows too large",
                "here, its aliases followed",
                Some("write values out instead of nesting aliases".to_owned()),
            );
            return Err(Stop);
        }
        Ok(())
    }

    fn build<'t, T: granit_parser::BorrowedInput<'t>>(
        &mut self,
        parser: &mut Parser<'t, T>,
        event: Event<'t>,
        span: Range<usize>,
        depth: usize,
    ) -> Result<Node, Stop> {
        self.count(1, &span)?;
        if depth > MAX_DEPTH {
            self.find(span, "the document nests too deep", "here", None);
            return Err(Stop);
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                (self.node(span, Value::Scalar { text: Cow::into_owned(text), plain: style == ScalarStyle::Plain }), anchor)
            }
            Event::Alias(id) => {
                let Some(target) = self.anchors.get(&id).cloned() else {
                    self.find(span, "an alias refers to itself", "here", None);
                    return Err(Stop);
                };
                self.count(size(&target), &span)?;
                return Ok(target);
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                let end = loop {
                    let (event, span) = self.next(parser)?;
                    if event == Event::SequenceEnd {
                        break span.end;
                    }
                    items.push(self.build(parser, event, span, depth + 1)?);
                };
                (self.node(span.start..end, Value::List(items)), anchor)
            }
            Event::MappingStart(_, anchor, _) => {
                let mut entries = Vec::new();
                let end = loop {
                    let (event, span) = self.next(parser)?;
                    if event == Event::MappingEnd {
                        break span.end;
                    }
                    let key = self.build(parser, event, span, depth + 1)?;
                    let (event, span) = self.next(parser)?;
                    let value = self.build(parser, event, span, depth + 1)?;
                    self.insert(&mut entries, key, value);
                };
                let entries = self.merged(entries);
                (self.node(span.start..end, Value::Map(entries)), anchor)
            }
            _ => return Err(Stop),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn insert(&mut self, entries: &mut Vec<(Node, Node)>, key: Node, value: Node) {
        let Some(text) = key.text().map(str::to_owned) else {
            self.find(key.place.span.clone(), "a key must be a single value", "this key is a list or a mapping", None);
            return;
        };
        if let Some((first, _)) = entries.iter().find(|(name, _)| name.text() == Some(text.as_str())) {
            let (line, _) = self.source.place(first.place.span.start);
            self.find(
                key.place.span.clone(),
                format!("the key `{text}` is there twice"),
                format!("first on line {line}"),
                Some("keep one of them".to_owned()),
            );
            return;
        }
        entries.push((key, value));
    }

    /// Resolves `<<`: keys of the merged mappings that are not written out are taken over.
    fn merged(&mut self, entries: Vec<(Node, Node)>) -> Vec<(Node, Node)> {
        let (merges, mut kept): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(key, _)| matches!(&key.value, Value::Scalar { text, plain: true } if text == "<<"));
        for (key, value) in merges {
            let sources = match value.value {
                Value::List(items) => items,
                _ => vec![value],
            };
            for source in sources {
                let Value::Map(entries) = source.value else {
                    self.find(key.place.span.clone(), "`<<` takes a mapping, or a list of mappings", "here", None);
                    continue;
                };
                for (name, value) in entries {
                    if !kept.iter().any(|(have, _)| have.text() == name.text()) {
                        kept.push((name, value));
                    }
                }
            }
        }
        kept
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar { .. } => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|(_, value)| 1 + size(value)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        parse(Path::new("run.yaml"), text).1.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn scalars_keep_their_source_text() {
        let (root, findings) = parse(Path::new("run.yaml"), "a: 3.10\nb: no\nc: 007\nd: 1e-4\n");
        let root = root.expect("it is YAML");
        assert!(findings.is_empty());
        let text = |key: &str| root.get(key).and_then(Node::text).map(str::to_owned);
        assert_eq!(["a", "b", "c", "d"].map(text).map(Option::unwrap), ["3.10", "no", "007", "1e-4"]);
    }

    #[test]
    fn comments_are_passed_over() {
        let (root, findings) = parse(Path::new("run.yaml"), "# one\na: b # two\n");
        assert!(findings.is_empty() && root.expect("it is YAML").get("a").is_some());
    }

    #[test]
    fn a_duplicate_key_names_the_first_place() {
        let (_, findings) = parse(Path::new("run.yaml"), "a: 1\nb: 2\na: 3\n");
        assert_eq!((findings[0].place(), findings[0].reason.as_str()), ((3, 1), "first on line 1"));
    }

    #[test]
    fn explicit_keys_win_over_merged_ones() {
        let (root, _) = parse(Path::new("run.yaml"), "x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  a: 3\n");
        let y = root.expect("it is YAML").get("y").cloned().expect("it is there");
        assert_eq!((y.get("a").and_then(Node::text), y.get("b").and_then(Node::text)), (Some("3"), Some("2")));
    }

    #[test]
    fn an_alias_bomb_and_a_huge_file_are_refused_fast() {
        use std::fmt::Write;
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let previous = level - 1;
            writeln!(bomb, "a{level}: &a{level} [*a{previous}, *a{previous}, *a{previous}, *a{previous}, *a{previous}, *a{previous}]")
                .expect("a string");
        }
        assert_eq!(messages(&bomb), ["the document grows too large"]);
        assert!(messages(&"a: b\n".repeat(2_000_000))[0].starts_with("the file has 9.5 MiB"));
    }

    #[test]
    fn a_tab_and_broken_yaml_are_named() {
        assert_eq!(messages("a:\n\tb: 1\n"), ["this is not YAML: a tab indents a line"]);
        assert_eq!(messages("a: [1, 2\nb: 3\n"), ["this is not YAML"]);
    }

    /// Says what a node is, as the oracle below does.
    fn plain(node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Scalar { text, .. } => text.as_str().into(),
            Value::List(items) => items.iter().map(plain).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.text().unwrap_or_default().to_owned(), plain(value)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    fn documents() -> impl proptest::strategy::Strategy<Value = serde_json::Value> {
        use proptest::prelude::*;
        let text = prop_oneof![
            "[ -~é\u{1f600}]{0,12}",
            "[a-z:#\\-?&*!|>'\"%@`\n\t ]{0,8}",
            Just("no".to_owned()),
            Just("~".to_owned()),
            Just("3.10".to_owned())
        ];
        let key = "[a-z][a-z_.:#'\" -]{0,8}[a-z]";
        text.prop_map(serde_json::Value::from).prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::btree_map(key, inner, 0..4).prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { cases: 256, failure_persistence: None, ..Default::default() })]

        /// Whatever the YAML organisation's own library writes is read as it was meant.
        #[test]
        fn what_another_library_writes_is_read_as_it_was_meant(document in documents()) {
            for text in [serde_yaml::to_string(&document).expect("it is plain data"), document.to_string()] {
                let (root, findings) = parse(Path::new("run.yaml"), &text);
                proptest::prop_assert!(findings.is_empty(), "{text}: {findings:?}");
                proptest::prop_assert_eq!(plain(&root.expect("it is YAML")), document.clone(), "{}", text);
            }
        }

        /// No text whatever makes the reader panic, and what it finds lies inside the text.
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z:#\\-?&*!|>'\"%@`\\[\\]{},~ \t\n\u{e9}\u{1f600}<]{0,60}") {
            let (_, findings) = parse(Path::new("run.yaml"), &text);
            for finding in findings {
                proptest::prop_assert!(!finding.render(false).is_empty());
            }
        }
    }
}
