//! `${{inputs.x}}` and `${{outputs.x}}`.

use std::ops::Range;

/// A placeholder in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    /// The bytes of the text from `${{` to `}}`.
    pub range: Range<usize>,
    /// What stands between, trimmed.
    pub name: String,
}

/// Finds the placeholders of a text; an unclosed one runs to the text's end.
pub fn find(text: &str) -> Vec<Placeholder> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find("${{").map(|start| from + start) {
        let end = text[start..].find("}}").map_or(text.len(), |end| start + end + 2);
        let name = text[start + 3..end].trim_end_matches("}}").trim().to_owned();
        found.push(Placeholder { range: start..end, name });
        from = end;
    }
    found
}

/// Replaces every placeholder by what `lookup` says; one that it does not know stays as it is.
pub fn substitute(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut from = 0;
    for placeholder in find(text) {
        if let Some(value) = lookup(&placeholder.name) {
            result.push_str(&text[from..placeholder.range.start]);
            result.push_str(&value);
            from = placeholder.range.end;
        }
    }
    result.push_str(&text[from..]);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_and_unknown_ones_stay() {
        let lookup = |name: &str| (name == "inputs.C").then(|| "0.8".to_owned());
        assert_eq!(substitute("--C=${{inputs.C}} ${{ inputs.C }} ${{x}} ${HOME}", lookup), "--C=0.8 0.8 ${{x}} ${HOME}");
        assert_eq!(find("a ${{ open")[0].name, "open");
    }
}
