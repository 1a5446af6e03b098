//! The metadata block of a single-file script (PEP 723).

use std::ops::Range;
use std::sync::Arc;

use crate::support::yaml::{Context, Node, Place, Source, Value};

/// What a block says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// `dependencies`.
    pub(super) dependencies: Vec<String>,
    /// `requires-python`.
    pub(super) python: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    #[serde(default)]
    dependencies: Vec<String>,
    requires_python: Option<String>,
}

/// Reads the `script` block; `None` when there is none, an error when it is not TOML, with the line it starts on.
pub(super) fn read(text: &str) -> Result<Option<Block>, (usize, String)> {
    let mut lines = text.lines().enumerate();
    let Some((start, _)) = lines.find(|(_, line)| line.trim_end() == "# /// script") else { return Ok(None) };
    let mut toml = String::new();
    for (_, line) in lines {
        if line.trim_end() == "# ///" {
            let metadata: Metadata = toml::from_str(&toml).map_err(|error| (start, error.message().to_owned()))?;
            return Ok(Some(Block { dependencies: metadata.dependencies, python: metadata.requires_python }));
        }
        let Some(content) = line.strip_prefix('#') else { break };
        toml.push_str(content.strip_prefix(' ').unwrap_or(content));
        toml.push('\n');
    }
    Err((start, "the block is not closed by a line `# ///`".to_owned()))
}

/// Returns the block of a script as the `environment:` of a run config; what cannot be read is a finding.
pub(super) fn environment(source: &Arc<Source>, context: &Context) -> Option<Node> {
    let text = &source.text;
    let place = |span: Range<usize>| Place { source: Arc::clone(source), span };
    let block = match read(text) {
        Ok(block) => block?,
        Err((line, reason)) => {
            let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
            let end = text[start..].find('\n').map_or(text.len(), |length| start + length);
            let fix = Some("write it as PEP 723 shows: `# /// script`, `# dependencies = [\"numpy\"]`, `# ///`".to_owned());
            context.find(&place(start..end), "the script's metadata block cannot be read", reason, fix);
            return None;
        }
    };
    let node = |value: Value, span: Range<usize>| Node { value, place: place(span) };
    // The block is TOML; what it holds is shown where its text stands.
    let scalar = |part: &str| {
        let span = text.find(part).map_or(0..0, |start| start..start + part.len());
        node(Value::Scalar { text: part.to_owned(), plain: false }, span)
    };
    let packages = block.dependencies.iter().map(|line| scalar(line)).collect();
    let mut entries = vec![(scalar("pip_packages"), node(Value::List(packages), 0..0))];
    entries.extend(block.python.map(|python| (scalar("python"), scalar(&python))));
    Some(node(Value::Map(entries), 0..0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_read_and_a_broken_one_named() {
        let block = read(
            "#!/usr/bin/env python\n# /// script\n# requires-python = \">=3.10\"\n# dependencies = [\n#   \"numpy\",\n# ]\n# ///\nprint()\n",
        );
        assert_eq!(block, Ok(Some(Block { dependencies: vec!["numpy".into()], python: Some(">=3.10".into()) })));
        assert_eq!(read("print()\n"), Ok(None));
        assert_eq!(read("# /// script\n# dependencies = [\nprint()\n").map_err(|(line, _)| line), Err(0));
    }
}
