//! Quoting for POSIX shells.

/// Returns the text as one word of a POSIX shell, whatever it holds (NUL excepted, which no argument can hold).
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('=') {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Returns the words as one command line.
pub fn join<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> String {
    words.into_iter().map(|word| quote(word.as_ref())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_survives_a_real_shell() {
        for text in [
            "plain",
            "",
            "two words",
            "it's",
            "\"q\"",
            "a\nb",
            "$(id)",
            "`id`",
            "-x",
            "~",
            "*",
            "\\",
            "\u{1f600}",
            "a=b",
            "=ls",
            "!x",
            "#c",
        ] {
            let line = format!("printf '%s' {}", quote(text));
            let output = std::process::Command::new("sh").arg("-c").arg(&line).output().expect("sh exists");
            assert_eq!(String::from_utf8_lossy(&output.stdout), text, "{line}");
        }
    }
}
