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

/// Returns the line, from 1, on which a script imports MLflow.
pub fn imports_mlflow(script: &str) -> Option<usize> {
    let is_import = |line: &str| {
        let mut words = line.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
        let first = words.next();
        let is_mlflow = |word: &str| word == "mlflow" || word.starts_with("mlflow.");
        match first {
            Some("import") => words.any(is_mlflow),
            Some("from") => words.next().is_some_and(is_mlflow),
            _ => false,
        }
    };
    script.lines().position(is_import).map(|line| line + 1)
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
        assert_eq!(imports_mlflow("import os\nif x:\n    from mlflow.tracking import y\n"), Some(3));
        assert_eq!(imports_mlflow("import os, mlflow\n"), Some(1));
        assert_eq!(imports_mlflow("import mlflowx\n# import mlflow\n"), None);
        assert_eq!(hard_coded_uri("a\nmlflow.set_tracking_uri('http://x')"), Some(2));
    }
}
