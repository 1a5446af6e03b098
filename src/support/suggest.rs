//! "Did you mean ...?" for every closed set of words.

/// Returns the candidate that was probably meant, or `None` when nothing is near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lowered = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lowered, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count().max(3)) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_typing_slip_is_recognised_and_another_word_is_not() {
        assert_eq!(nearest("scirpt", ["script", "command"]), Some("script"));
        assert_eq!(nearest("enviroment", ["environment", "inputs"]), Some("environment"));
        assert_eq!(nearest("banana", ["script", "command"]), None);
    }
}
