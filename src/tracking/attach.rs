//! Looks at an entry script to choose how it is attached.

use super::Attach;

/// Chooses for `auto`: a script that calls `set_experiment(` would die with a run id set, so it gets the context only.
/// Returns the line of the call too, from 1.
pub fn choose_attach(script: &str) -> (Attach, Option<usize>) {
    match call(script, "set_experiment(") {
        Some(line) => (Attach::Parent, Some(line)),
        None => (Attach::Run, None),
    }
}

/// Returns the line, from 1, on which a script names a tracker of its own.
pub fn hard_coded_uri(script: &str) -> Option<usize> {
    call(script, "set_tracking_uri(")
}

fn call(script: &str, name: &str) -> Option<usize> {
    script.lines().position(|line| line.split('#').next().unwrap_or(line).contains(name)).map(|line| line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_with_an_experiment_of_its_own_gets_the_context_only() {
        assert_eq!(choose_attach("import mlflow\nmlflow.set_experiment('x')\n"), (Attach::Parent, Some(2)));
        assert_eq!(choose_attach("# mlflow.set_experiment('x')\nmlflow.start_run()\n"), (Attach::Run, None));
        assert_eq!(hard_coded_uri("a\nmlflow.set_tracking_uri('http://x')"), Some(2));
    }
}
