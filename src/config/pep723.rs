//! The metadata block of a single-file script (PEP 723).

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
