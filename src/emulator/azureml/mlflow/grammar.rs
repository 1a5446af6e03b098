//! The grammar of MLflow's search filters, as its `search_utils` has it: comparisons, joined by AND.

use std::ops::Range;

/// One comparison, by the places of its parts in the filter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) left: Range<usize>,
    pub(super) operator: String,
    pub(super) values: Vec<Range<usize>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A name, a number or a quoted text, with everything that is joined to it by dots.
    Operand,
    Symbol,
    Open,
    Close,
    Comma,
}

/// Reads a filter; `None` when it is not a chain of comparisons.
pub(super) fn parse(filter: &str) -> Option<Vec<Comparison>> {
    let tokens = tokens(filter)?;
    let word =
        |at: usize| tokens.get(at).filter(|(token, _)| *token == Token::Operand).map(|(_, place)| filter[place.clone()].to_uppercase());
    let operand = |at: usize| tokens.get(at).filter(|(token, _)| *token == Token::Operand).map(|(_, place)| place.clone());
    let is = |at: usize, wanted: &Token| tokens.get(at).is_some_and(|(token, _)| token == wanted);
    let mut comparisons = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let left = operand(at)?;
        at += 1;
        let mut operator = match tokens.get(at)? {
            (Token::Symbol, place) => filter[place.clone()].to_owned(),
            _ => word(at)?,
        };
        at += 1;
        let mut values = Vec::new();
        if matches!(operator.as_str(), "NOT" | "IS") {
            // NOT IN, IS NULL, IS NOT NULL.
            while let Some(next @ ("NOT" | "IN" | "NULL" | "LIKE" | "ILIKE")) = word(at).as_deref() {
                operator = format!("{operator} {next}");
                at += 1;
            }
        }
        if operator.ends_with("NULL") {
            // Nothing stands on the right.
        } else if is(at, &Token::Open) {
            at += 1;
            while !is(at, &Token::Close) {
                values.push(operand(at)?);
                at += 1;
                if is(at, &Token::Comma) {
                    at += 1;
                }
            }
            at += 1;
        } else {
            values.push(operand(at)?);
            at += 1;
        }
        comparisons.push(Comparison { left, operator, values });
        if at < tokens.len() {
            (word(at)? == "AND").then_some(())?;
            at += 1;
            // Something has to follow.
            tokens.get(at)?;
        }
    }
    Some(comparisons)
}

fn tokens(filter: &str) -> Option<Vec<(Token, Range<usize>)>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(next) = filter[at..].chars().next() {
        let start = at;
        let token = match next {
            ' ' | '\t' | '\n' | '\r' => {
                at += 1;
                continue;
            }
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '=' | '!' | '<' | '>' => Token::Symbol,
            _ => Token::Operand,
        };
        at += match token {
            Token::Symbol => filter[at..].len() - filter[at..].trim_start_matches(['=', '!', '<', '>']).len(),
            Token::Operand => operand_length(&filter[at..])?,
            _ => 1,
        };
        tokens.push((token, start..at));
    }
    Some(tokens)
}

/// Returns the length of the operand that a text begins with; `None` when a quote in it does not end.
fn operand_length(text: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        match next {
            '\'' | '"' | '`' => {
                // Two values side by side are two operands, a quoted name after a dot is one.
                if at > 0 && !text[..at].ends_with('.') {
                    break;
                }
                at += quoted_length(&text[at..], next)?;
                if !text[at..].starts_with('.') {
                    break;
                }
            }
            ' ' | '\t' | '\n' | '\r' | '(' | ')' | ',' | '=' | '!' | '<' | '>' => break,
            other => at += other.len_utf8(),
        }
    }
    Some(at)
}

/// Returns the length of a quoted text, in which a quote is doubled or stands behind a backslash.
fn quoted_length(text: &str, quote: char) -> Option<usize> {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character == '\\' && quote != '`' && characters.peek().is_some_and(|(_, next)| *next == quote) {
            characters.next();
        } else if character == quote {
            if characters.peek().is_none_or(|(_, next)| *next != quote) {
                return Some(at + 1);
            }
            characters.next();
        }
    }
    None
}
