//! The promises that every compute target keeps, asked of each in the same words through the real binary.
//!
//! A promise is a function in one of the modules below and takes a [`Place`]; [`keeps_every_promise!`] makes a test of each of them for a
//! place. What a promise sees of a job comes through `logs`, `status` and `download` alone, since a job may run where our files are not.

mod boundary;
mod ending;
mod environment;
mod leaving;
mod logs;
mod running;
mod service;
mod shell;

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard};

use crate::support::{Run, Sandbox, wait_until};
use crate::workspace::{IMAGE, Workspace};

/// A compute target under test.
pub(crate) struct Place {
    /// `compute_target:` of the run config.
    target: &'static str,
    /// The variables that the place itself adds to those that every job has.
    own_variables: &'static [&'static str],
    /// Asserts that nothing of any job of this sandbox runs any more.
    nothing_runs: fn(&Sandbox),
    /// Whether a job outlives its supervisor, and the next command watches over it again.
    outlives: bool,
    /// Held by a test while its jobs are there, where names of jobs are those of things that all tests share.
    alone: bool,
    /// Whether it is a service, of which each test has a workspace of its own: nothing of ours runs there, and it has ways of its own, which
    /// the module `service` tells.
    service: bool,
}

/// This machine.
pub(crate) const LOCAL: Place = Place {
    target: "local",
    own_variables: &["HOME", "LANG", "PATH", "SENDOFF_OWNER", "TMPDIR", "USER", "VIRTUAL_ENV"],
    nothing_runs: Sandbox::nothing_runs,
    outlives: false,
    alone: false,
    service: false,
};

/// A container on this machine's engine.
pub(crate) const DOCKER: Place = Place {
    target: "docker",
    own_variables: &[
        "HOME",
        "HOSTNAME",
        "LANG",
        "PATH",
        "PIP_CERT",
        "PIP_ROOT_USER_ACTION",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_FILE",
        "USER",
        "VIRTUAL_ENV",
    ],
    nothing_runs: no_container_is_left,
    outlives: true,
    alone: true,
    service: false,
};

/// A workspace of Azure ML, emulated.
pub(crate) const AZUREML: Place = Place {
    target: "azureml",
    own_variables: &["SENDOFF_OUTPUT_MODEL"],
    nothing_runs: Sandbox::nothing_runs,
    outlives: true,
    alone: false,
    service: true,
};

/// Held by one test at a time, for as long as any of its worlds is there.
#[derive(Debug)]
struct Alone;

static CONTAINERS: Mutex<()> = Mutex::new(());

thread_local! {
    static HELD: RefCell<(usize, Option<MutexGuard<'static, ()>>)> = const { RefCell::new((0, None)) };
}

impl Alone {
    fn take() -> Self {
        HELD.with_borrow_mut(|(count, guard)| {
            if *count == 0 {
                *guard = Some(CONTAINERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
            }
            *count += 1;
        });
        Self
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        HELD.with_borrow_mut(|(count, guard)| {
            *count -= 1;
            if *count == 0 {
                *guard = None;
            }
        });
    }
}

fn no_container_is_left(sandbox: &Sandbox) {
    sandbox.nothing_runs();
    wait_until(|| {
        let left = sandbox.containers();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

/// A sandbox whose run configs are sent to a place.
pub(crate) struct World<'a> {
    place: &'a Place,
    sandbox: Sandbox,
    workspace: Option<Workspace>,
    _alone: Option<Alone>,
}

impl Place {
    fn world(&self) -> World<'_> {
        let alone = self.alone.then(Alone::take);
        let sandbox = Sandbox::new();
        let workspace = self.service.then(|| Workspace::of(&sandbox));
        World { place: self, sandbox, workspace, _alone: alone }
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        // What a failed test leaves must not stand in the way of the next one.
        if self.place.alone {
            self.sandbox.remove_containers();
        }
    }
}

impl World<'_> {
    fn env(mut self, name: &str, value: &str) -> Self {
        self.sandbox.set(name, value);
        self
    }

    fn config(&self, run_config: &str) -> &Self {
        let text = match &self.workspace {
            None => format!("compute_target: {}\n{run_config}", self.place.target),
            Some(workspace) => {
                // How long a job may take to end is the service's to say.
                let lines: String = run_config.lines().filter(|line| !line.starts_with("grace:")).map(|line| format!("{line}\n")).collect();
                format!("compute_target: {}\nenvironment: {{image: '{IMAGE}'}}\n{lines}", workspace.target())
            }
        };
        self.sandbox.file("run.yaml", &text);
        self
    }

    /// Returns the command that submits the run config, untracked.
    fn submission(&self, more: &[&str]) -> std::process::Command {
        let emulate: &[&str] = if self.place.service { &["--emulate"] } else { &[] };
        self.sandbox.command(&[&["submit", "--no-tracking"], emulate, more].concat())
    }

    /// Submits the run config untracked, and waits unless told otherwise.
    fn submit(&self, more: &[&str]) -> Run {
        let mut command = self.submission(more);
        Run::from(sendoff::support::command::capture_any(&mut command, std::time::Duration::from_mins(5)).expect("it ends in time"))
    }

    /// Submits a run config untracked and waits; the job is `the-job`.
    fn run(&self, run_config: &str) -> Run {
        self.config(run_config).submit(&["--job-id", "the-job"])
    }

    /// Submits a run config untracked, without waiting.
    fn start(&self, job: &str, run_config: &str) {
        self.config(run_config).submit(&["--detach", "--job-id", job]).expect(0);
    }

    /// Waits until the log of a job holds a text.
    fn wait_for(&self, job: &str, text: &str) {
        wait_until(|| {
            let log = self.sandbox.sendoff(&["logs", job]).stdout;
            if log.contains(text) { Ok(()) } else { Err(log) }
        });
    }

    /// Returns the word of a job's state.
    fn state(&self, job: &str) -> String {
        let status = self.sandbox.sendoff(&["status", job, "--output", "json"]).expect(0).json();
        status["state"].as_str().expect("a state").to_owned()
    }

    fn nothing_runs(&self) {
        (self.place.nothing_runs)(&self.sandbox);
        if let Some(workspace) = &self.workspace {
            workspace.nothing_runs();
        }
    }
}

/// Makes a test of every promise for a place, with attributes: `[#[ignore = "needs Docker"]]` has them reported as ignored where that is
/// missing, never as passed.
macro_rules! keeps_every_promise {
    ($name:ident, $place:expr, $attributes:tt) => {
        mod $name {
            keeps_every_promise! { @each $place, $attributes,
                ending::the_exit_code_is_the_jobs_own,
                ending::a_signal_is_told_by_its_number,
                ending::a_cancelled_job_may_say_goodbye,
                ending::a_job_that_ignores_term_is_killed_after_its_grace,
                ending::cancel_ends_what_left_the_process_group,
                ending::a_job_is_cancelled_in_any_step_of_its_start_without_waiting_for_its_grace,
                ending::cancelling_an_ended_job_succeeds,
                ending::the_time_limit_is_kept_with_no_client_alive,
                ending::what_a_command_leaves_running_ends_with_it,
                ending::a_job_whose_supervisor_dies_is_lost_or_goes_on_and_never_both,
                environment::the_environment_is_built_from_nothing,
                environment::arguments_and_variables_arrive_as_written,
                environment::secrets_arrive_and_are_not_left_behind,
                environment::the_working_copy_is_private_and_writable,
                environment::stdin_is_empty,
                leaving::what_a_job_leaves_is_collected_however_it_ended,
                leaving::a_download_overwrites_nothing,
                leaving::odd_files_do_not_stop_a_download,
                logs::every_byte_is_there_for_who_watches_and_who_comes_later,
                logs::both_streams_are_in_order_of_arrival,
                running::many_jobs_are_told_apart_in_one_list,
                running::a_setup_that_fails_ends_the_job_before_its_command,
                running::steps_are_named_in_the_log,
                shell::a_shell_is_where_the_job_is_and_ends_with_its_own_code,
                shell::a_terminal_is_lent_with_its_size_and_every_key,
                shell::after_the_end_a_shell_is_in_a_fresh_copy_that_goes_with_it,
                shell::what_goes_in_comes_out_whole_whoever_reads_first,
            }
        }
    };
    (@each $place:expr, $attributes:tt, $($module:ident :: $promise:ident,)*) => {
        $(keeps_every_promise! { @one $place, $attributes, $module, $promise })*
    };
    (@one $place:expr, [$(#[$attribute:meta])*], $module:ident, $promise:ident) => {
        #[test]
        $(#[$attribute])*
        fn $promise() {
            super::$module::$promise(&$place);
        }
    };
}

keeps_every_promise!(local, crate::conformance::LOCAL, []);
keeps_every_promise!(docker, crate::conformance::DOCKER, [#[ignore = "needs a Docker engine"]]);
keeps_every_promise!(azureml_engine, crate::conformance::AZUREML, [#[ignore = "needs a Docker engine"]]);
