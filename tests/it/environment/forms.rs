//! Each way to say which packages there are.

use std::process::Command;

use super::{sandbox, say, says, wheel, wheels};
use crate::support::{Sandbox, shared};

#[test]
fn a_list_of_packages_is_found_where_find_links_leads() {
    let sandbox = sandbox();
    wheels(&sandbox);
    let run = say(&sandbox, &["alpha", "beta"], "{pip_packages: [beta, 'alpha<2'], find_links: [wheels]}");
    says(&run, "alpha says alpha one\nbeta says beta one\n");
}

#[test]
fn a_wheel_or_folder_of_the_source_directory_is_installed_and_a_change_of_it_is_noticed() {
    let sandbox = sandbox();
    let folder = sandbox.project().join("wheels");
    wheel(&folder, "alpha", "1.0", "as it was", &[]);
    let environment = "{pip_packages: [./wheels/alpha-1.0-py3-none-any.whl]}";
    says(&say(&sandbox, &["alpha"], environment), "alpha says as it was\n");
    // The same name and version with another content.
    wheel(&folder, "alpha", "1.0", "as it is", &[]);
    says(&say(&sandbox, &["alpha"], environment), "alpha says as it is\n");

    project(&sandbox, "package", "gamma", "first");
    says(&say(&sandbox, &["gamma"], "{pip_packages: [./package]}"), "gamma says first\n");
    project(&sandbox, "package", "gamma", "second");
    says(&say(&sandbox, &["gamma"], "{pip_packages: [./package]}"), "gamma says second\n");
}

/// Writes a project that builds itself: nothing else is needed, so that it builds offline.
fn project(sandbox: &Sandbox, folder: &str, name: &str, says: &str) {
    let backend = format!(
        "import os, zipfile\n\
         def build_wheel(folder, config_settings=None, metadata_directory=None):\n\
         \x20   wheel = '{name}-1.0-py3-none-any.whl'\n\
         \x20   info = '{name}-1.0.dist-info'\n\
         \x20   with zipfile.ZipFile(os.path.join(folder, wheel), 'w') as file:\n\
         \x20       file.write('{name}.py')\n\
         \x20       file.writestr(info + '/METADATA', 'Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n')\n\
         \x20       file.writestr(info + '/WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
         \x20       file.writestr(info + '/RECORD', '')\n\
         \x20   return wheel\n"
    );
    let pyproject = format!(
        "[project]\nname = '{name}'\nversion = '1.0'\nrequires-python = '>=3.10'\ndependencies = []\n\
         [build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    );
    sandbox.file(&format!("{folder}/backend.py"), &backend).file(&format!("{folder}/pyproject.toml"), &pyproject);
    sandbox.file(&format!("{folder}/{name}.py"), &format!("SAYS = '{says}'\n"));
}

#[test]
fn a_requirements_file_includes_others_and_is_bounded_by_constraints() {
    let sandbox = sandbox();
    wheels(&sandbox);
    wheel(&sandbox.project().join("wheels"), "unwanted", "1.0", "no", &[]);
    sandbox.file("deps/requirements.txt", "-r more/base.txt\n-c bounds.txt\n--find-links ../wheels\n");
    sandbox.file("deps/more/base.txt", "beta==1.0 # with what it needs\n").file("deps/bounds.txt", "alpha==1.0\nunwanted==1.0\n");
    let run = say(&sandbox, &["alpha", "beta"], "{requirements_file: deps/requirements.txt}");
    says(&run, "alpha says alpha one\nbeta says beta one\n");
    let built = sandbox.sendoff(&["env", "list", "--output", "json"]).expect(0).json();
    assert_eq!(built["environments"][0]["packages"], serde_json::json!(["alpha==1.0", "beta==1.0"]));
    // A change in an included file is a change.
    sandbox.file("deps/bounds.txt", "alpha==2.0\n");
    let plan = sandbox.sendoff(&["plan", "--no-tracking"]).expect(0);
    assert!(plan.stdout.contains("environment  miss: constraints changed; Python "), "{}", plan.stdout);
}

#[test]
fn a_conda_file_gives_its_pip_part_and_its_python() {
    let sandbox = sandbox();
    wheels(&sandbox);
    let output = Command::new("python3").args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).output().expect("python3 runs");
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    sandbox.file("conda.yaml", &format!("name: x\ndependencies:\n- python={version}\n- pip\n- pip:\n  - alpha==1.0\n"));
    let run = say(&sandbox, &["alpha"], "{conda_file: conda.yaml, find_links: [wheels]}");
    says(&run, "alpha says alpha one\n");
    let built = sandbox.sendoff(&["env", "list", "--output", "json"]).expect(0).json();
    assert!(built["environments"][0]["python"].as_str().expect("a version").starts_with(&version));
}

#[test]
fn a_pyproject_is_resolved_and_its_lock_is_used_as_it_is() {
    let sandbox = sandbox();
    wheels(&sandbox);
    sandbox.file("pyproject.toml", "[project]\nname = 'p'\nversion = '1'\nrequires-python = '>=3.10'\ndependencies = ['beta']\n");
    let run = say(&sandbox, &["alpha", "beta"], "{pyproject: pyproject.toml, find_links: [wheels]}");
    says(&run, "alpha says alpha two\n");

    // The lock was made when there was another newest version.
    let mut lock = sandbox.command(&[]);
    let environment: Vec<_> = lock.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    lock = Command::new(shared().join("uv/bin/uv"));
    lock.args(["lock", "--quiet", "--find-links", "wheels", "--upgrade-package", "alpha<2"]).current_dir(sandbox.project());
    let output = lock.env_clear().envs(environment).output().expect("uv runs");
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(sandbox.project().join("uv.lock")).expect("it was made");
    assert!(text.contains("version = \"1.0\"") && !text.contains("version = \"2.0\""), "{text}");
    let run = say(&sandbox, &["alpha", "beta"], "{pyproject: pyproject.toml, find_links: [wheels]}");
    says(&run, "alpha says alpha one\n");
}

#[test]
fn the_project_itself_is_installed_as_it_was_submitted() {
    let sandbox = sandbox();
    // Below a folder that is not on the script's path, so that only the installation makes it importable.
    for text in ["first", "second"] {
        project(&sandbox, ".", "delta", text);
        sandbox.file("scripts/train.py", "import delta\nprint('delta says', delta.SAYS, 'site-packages' in delta.__file__)\n");
        sandbox.file(
            "run.yaml",
            "script: scripts/train.py\nsource_directory: .\nenvironment: {pyproject: pyproject.toml, install_project: true}\n",
        );
        says(&sandbox.sendoff(&["submit", "--no-tracking"]), &format!("delta says {text} True\n"));
    }
}

#[test]
fn debian_packages_are_refused_where_there_is_no_image() {
    let sandbox = sandbox();
    let run = say(&sandbox, &[], "{system_packages: [ffmpeg]}");
    insta::assert_snapshot!(sandbox.plain(&run.expect(244).stderr), @r"
    error: `environment.system_packages` needs a target with containers
     --> run.yaml:2:32
      |
    2 | environment: {system_packages: [ffmpeg]}
      |                                ^^^^^^^^ the target here is this machine
      |
      = help: remove it, or choose another target

    error: found 1 problem in `run.yaml`
    ");
}
