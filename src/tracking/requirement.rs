//! Conditions on metrics, for gates: `accuracy>=0.9`.

use std::fmt;
use std::str::FromStr;

use super::{Measured, Point};
use crate::support::figures::Exact;
use crate::support::words::all_of;

/// A condition on a metric's latest value: `accuracy>=0.9`.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    metric: String,
    operator: &'static str,
    value: f64,
    /// The value as it was written.
    written: String,
}

/// A text that is not a requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a requirement: expected a metric, one of `>=` `<=` `==` `>` `<`, and a number, like `accuracy>=0.9`{}", suggested(.suggestion.as_ref()))]
pub struct InvalidRequirement {
    text: String,
    suggestion: Option<String>,
}

fn suggested(suggestion: Option<&String>) -> String {
    suggestion.map_or_else(String::new, |text| format!("; did you mean `{text}`?"))
}

/// Operators that people write, and what they are here. A longer one comes before its own beginning.
const OPERATORS: [(&str, &str); 10] =
    [("=<", "<="), ("=>", ">="), ("≤", "<="), ("≥", ">="), (">=", ">="), ("<=", "<="), ("==", "=="), (">", ">"), ("<", "<"), ("=", "==")];

impl FromStr for Requirement {
    type Err = InvalidRequirement;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |suggestion| InvalidRequirement { text: text.to_owned(), suggestion };
        let (typed, operator) = OPERATORS.into_iter().find(|(typed, _)| text.contains(typed)).ok_or_else(|| invalid(None))?;
        let (metric, written) = text.split_once(typed).map(|(metric, value)| (metric.trim(), value.trim())).unwrap_or_default();
        let value = written.parse().ok().filter(|_| !metric.is_empty()).ok_or_else(|| invalid(None))?;
        if typed != operator {
            return Err(invalid(Some(format!("{metric}{operator}{written}"))));
        }
        Ok(Self { metric: metric.to_owned(), operator, value, written: written.to_owned() })
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.metric, self.operator, self.written)
    }
}

impl Requirement {
    /// Returns `None` when the latest value meets it, else why it does not; a metric that is missing does not meet it.
    ///
    /// `runs` are the job's own MLflow run and those below it. A metric of the job's own is meant first, then that of the only other which
    /// has it; `NAME/accuracy` means that of the MLflow run of this name.
    pub fn failure(&self, runs: &[Measured]) -> Option<String> {
        let latest = match self.latest(runs) {
            Ok(Some(point)) => point,
            Ok(None) => return Some(format!("`{self}` is not met: there is no metric `{}`", self.metric)),
            Err(several) => {
                return Some(format!(
                    "`{self}` cannot be judged: the MLflow runs {} have a metric `{}` each; write `{}/{self}`",
                    all_of(&several),
                    self.metric,
                    several[0],
                ));
            }
        };
        #[expect(clippy::float_cmp, reason = "`==` is what the user asked for")]
        let met = match self.operator {
            ">=" => latest.value >= self.value,
            "<=" => latest.value <= self.value,
            "==" => latest.value == self.value,
            ">" => latest.value > self.value,
            _ => latest.value < self.value,
        };
        (!met).then(|| format!("`{self}` is not met: `{}` is {}", self.metric, Exact(latest.value)))
    }

    /// Returns the value that is meant; or the names of the MLflow runs among which it is not known.
    fn latest<'a>(&self, runs: &'a [Measured]) -> Result<Option<&'a Point>, Vec<&'a str>> {
        let of = |run: &'a Measured, metric: &str| run.metrics.get(metric).and_then(|points| points.last());
        let have = |metric: &str| runs.iter().filter_map(|run| Some((run, of(run, metric)?))).collect::<Vec<_>>();
        if let Some(own) = runs.first().and_then(|own| of(own, &self.metric)) {
            return Ok(Some(own));
        }
        match have(&self.metric).as_slice() {
            [(_, point)] => Ok(Some(point)),
            [] => Ok(runs.iter().find_map(|run| {
                let metric = self.metric.strip_prefix(run.name.as_str())?.strip_prefix('/')?;
                of(run, metric)
            })),
            several => Err(several.iter().map(|(run, _)| run.name.as_str()).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, metrics: &[(&str, &[f64])]) -> Measured {
        let points = |values: &[f64]| values.iter().map(|value| Point { step: 0, timestamp: 0, value: *value }).collect();
        let metrics = metrics.iter().map(|(metric, values)| ((*metric).to_owned(), points(values))).collect();
        Measured { run_id: name.to_owned(), name: name.to_owned(), metrics }
    }

    fn judged(text: &str, runs: &[Measured]) -> Option<String> {
        text.parse::<Requirement>().expect("well formed").failure(runs)
    }

    #[test]
    fn requirements_are_read_and_judged() {
        let runs = [run("own", &[("a", &[0.1, 0.9])])];
        for (text, met) in [("a>=0.9", true), ("a > 0.9", false), ("a<1", true), ("a==0.9", true), ("b>0", false)] {
            assert_eq!(judged(text, &runs).is_none(), met, "{text}");
        }
        for text in ["a", "a>=x", ">=1", ""] {
            assert!(text.parse::<Requirement>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_requirement_is_shown_as_it_was_written_and_the_value_to_its_last_digit() {
        let runs = [run("own", &[("loss", &[1e-5]), ("a", &[0.899_999_99])])];
        assert_eq!(judged("loss<1e-300", &runs).as_deref(), Some("`loss<1e-300` is not met: `loss` is 1e-05"));
        assert_eq!(judged("a>=0.9", &runs).as_deref(), Some("`a>=0.9` is not met: `a` is 0.89999999"));
    }

    #[test]
    fn a_metric_of_a_child_is_found_and_one_of_several_has_to_be_named() {
        let runs = [run("own", &[]), run("one", &[("a", &[1.0]), ("only", &[1.0])]), run("two", &[("a", &[2.0])])];
        assert_eq!(judged("only==1", &runs), None);
        assert_eq!(judged("two/a==2", &runs), None);
        assert_eq!(
            judged("a>0", &runs).as_deref(),
            Some("`a>0` cannot be judged: the MLflow runs `one` and `two` have a metric `a` each; write `one/a>0`")
        );
    }

    #[test]
    fn an_operator_that_is_turned_around_is_suggested() {
        for (text, meant) in [("loss=<0.01", "loss<=0.01"), ("a=>1", "a>=1"), ("a = 1", "a==1"), ("a≥1", "a>=1")] {
            let error = text.parse::<Requirement>().expect_err("not an operator").to_string();
            assert!(error.ends_with(&format!("; did you mean `{meant}`?")), "{error}");
        }
    }
}
