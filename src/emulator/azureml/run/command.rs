//! The command of a job with its expressions replaced: `${{inputs.x}}`, `${{outputs.x}}`, and `$[[ ... ]]` around what may be missing.

use std::collections::BTreeMap;

/// Replaces the expressions. An unknown one outside of `$[[ ]]` is an error, with the expression.
pub(super) fn render(command: &str, values: &BTreeMap<String, String>) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = command;
    while let Some(at) = rest.find("$[[") {
        text.push_str(&replace(&rest[..at], values)?);
        let after = &rest[at + 3..];
        let Some(end) = after.find("]]") else { return Err(rest[at..].to_owned()) };
        // A part whose value is not set is left out.
        text.push_str(&replace(&after[..end], values).unwrap_or_default());
        rest = &after[end + 2..];
    }
    text.push_str(&replace(rest, values)?);
    Ok(text)
}

fn replace(text: &str, values: &BTreeMap<String, String>) -> Result<String, String> {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${{") {
        replaced.push_str(&rest[..at]);
        let after = &rest[at + 3..];
        let Some(end) = after.find("}}") else { return Err(rest[at..].to_owned()) };
        let name = after[..end].trim();
        replaced.push_str(values.get(name).ok_or_else(|| format!("${{{{{name}}}}}"))?);
        rest = &after[end + 2..];
    }
    replaced.push_str(rest);
    Ok(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_replaced_and_missing_ones_are_errors_outside_of_optional_parts() {
        let values = BTreeMap::from([("inputs.a".to_owned(), "0.3".to_owned()), ("outputs.m".to_owned(), "/wd/m".to_owned())]);
        for (command, expected) in [
            ("python t.py --a ${{inputs.a}} --m ${{ outputs.m }}", Ok("python t.py --a 0.3 --m /wd/m")),
            ("t $[[--a ${{inputs.a}}]] $[[--b ${{inputs.b}}]]!", Ok("t --a 0.3 !")),
            ("t ${HOME} $[ x", Ok("t ${HOME} $[ x")),
            ("t ${{inputs.b}}", Err("${{inputs.b}}")),
            ("t ${{inputs.a", Err("${{inputs.a")),
        ] {
            assert_eq!(render(command, &values), expected.map(str::to_owned).map_err(str::to_owned), "{command}");
        }
    }
}
