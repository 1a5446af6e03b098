//! Why an environment cannot be made.

use std::path::PathBuf;

use crate::engine::{self, build};
use crate::support::hints::Hints;
use crate::support::words::all_of;
use crate::support::{command, fs, uv};

/// An environment could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `uv` cannot be had.
    #[error(transparent)]
    Uv(#[from] uv::Error),
    /// A file refused.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// No interpreter fits.
    #[error("could not find Python `{request}` on this machine")]
    NoPython {
        /// What was asked.
        request: String,
        /// What `uv` said.
        #[source]
        source: command::Error,
    },
    /// It could not be learned whether an interpreter fits.
    #[error("could not look for Python `{request}` on this machine")]
    LookForPython {
        /// What was asked.
        request: String,
        /// What `uv` said, or the interpreter.
        #[source]
        source: command::Error,
    },
    /// The requirements do not fit together, or do not exist.
    #[error("could not resolve the packages of the environment")]
    Resolve(#[source] command::Error),
    /// The packages could not be installed.
    #[error("could not build the environment")]
    Build(#[source] command::Error),
    /// A conda file is not one.
    #[error("could not read the conda file `{}`: {reason}", path.display())]
    Conda {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A conda file names packages that only conda has.
    #[error("the conda packages {} cannot be installed on this target", all_of(packages))]
    CondaOnly {
        /// The file.
        path: PathBuf,
        /// The packages.
        packages: Vec<String>,
    },
    /// Debian packages are wanted where there is no image.
    #[error("the Debian packages {} cannot be installed on this target", all_of(.0))]
    SystemPackages(Vec<String>),
    /// The container engine failed.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The image could not be built.
    #[error("could not build the image of the environment")]
    Image(#[source] build::Error),
    /// The image of the user's own Dockerfile could not be built.
    #[error("could not build `{}`", path.display())]
    Dockerfile {
        /// The Dockerfile.
        path: PathBuf,
        /// Why.
        #[source]
        source: build::Error,
    },
    /// The base image has no Python that answers.
    #[error("could not find a Python in the image {image}: {reason}")]
    NoPythonInImage {
        /// The image, or the Dockerfile that it is of.
        image: String,
        /// Why.
        reason: String,
    },
    /// The engine's machine does not run programs of the base image's platform.
    #[error("the container engine's machine is `{engine}` and does not run the programs of the image {image}, which are for `{platform}`")]
    ForeignPlatform {
        /// The image, or the Dockerfile that it is of.
        image: String,
        /// Its platform.
        platform: String,
        /// That of the engine.
        engine: String,
    },
    /// The base image is of a platform that packages are not made for.
    #[error("packages cannot be installed into the image {image}: {reason}")]
    Platform {
        /// The image, or the Dockerfile that it is of.
        image: String,
        /// Why.
        reason: String,
    },
    /// Credentials are wanted where they would stay in the image.
    #[error("the package index wants credentials, and the container engine has no BuildKit: they would stay in the image")]
    CredentialsInImage,
    /// The base image of an earlier job is gone.
    #[error("the image `{0}` that the environment was made from is gone")]
    BaseGone(String),
    /// What a service cannot do that builds environments itself.
    #[error("{0} is not built yet for this target")]
    NotThere(&'static str),
    /// Something beside an environment that a workspace has by itself.
    #[error("the environment `{0}` of the workspace is taken as it is, and nothing can be added to it")]
    Named(String),
    /// A package that only this machine has, where a service builds the environment.
    #[error("the service that builds the environment cannot reach `{0}` of this machine")]
    OnlyHere(String),
    /// Credentials in what a service keeps for everybody who reads the workspace.
    #[error("an address of a package has credentials in it, which everybody could read who reads the workspace")]
    CredentialsInDefinition,
    /// A live job uses it.
    #[error("a live job uses the environment `{0}`")]
    InUse(String),
}

impl Error {
    /// Returns whether no environment can be made from the base image.
    pub(super) fn is_base_unfit(&self) -> bool {
        matches!(self, Self::NoPythonInImage { .. } | Self::Platform { .. } | Self::ForeignPlatform { .. })
    }

    /// Returns whether an index denies a release that the lock has from it.
    pub(super) fn denies_lock(&self) -> bool {
        matches!(self, Self::Build(source) if source.to_string().contains("there is no version of"))
    }
}

impl Hints for Error {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Uv(error) => error.hints(),
            Self::File(error) => error.hints(),
            Self::NoPython { .. } => {
                vec!["install it, or name another in `environment.python` (`uv python list` shows what is there)".to_owned()]
            }
            Self::Build(_) if self.denies_lock() => {
                vec![
                    "the index offered this release when the packages were resolved: try again later, or resolve anew with `--upgrade`"
                        .to_owned(),
                ]
            }
            Self::LookForPython { source, .. } => uv::cache_hint(source).into_iter().collect(),
            Self::Resolve(source) | Self::Build(source) => {
                if let Some(hint) = uv::cache_hint(source) {
                    return vec![hint];
                }
                let text = source.to_string().to_lowercase();
                if text.contains("401") || text.contains("unauthorized") {
                    vec!["the package index wants credentials: put them into `UV_DEFAULT_INDEX`, or into `~/.netrc`".to_owned()]
                } else if text.contains("not found in the package registry") || text.contains("no solution found") {
                    vec!["correct the package or its version in `environment:`".to_owned()]
                } else if text.contains("error sending request") || text.contains("failed to fetch") || text.contains("dns error") {
                    vec!["the package index cannot be reached; `environment.index_url` or `UV_DEFAULT_INDEX` names another".to_owned()]
                } else {
                    Vec::new()
                }
            }
            Self::CondaOnly { .. } => {
                vec!["move them to the `pip:` part if they exist there, or choose a target with containers".to_owned()]
            }
            Self::NotThere(_) => vec!["use `environment.image` with an image that has it, or choose another target".to_owned()],
            Self::Named(_) => vec!["remove what stands beside `environment.image`, or name an image there".to_owned()],
            Self::OnlyHere(_) => vec!["put the package on an index, or into the source directory and import it from there".to_owned()],
            Self::CredentialsInDefinition => {
                vec!["use an index that the workspace reaches without them, or an `image` that has the packages".to_owned()]
            }
            Self::SystemPackages(_) => vec!["install them by hand, or choose a target with containers".to_owned()],
            Self::Engine(error) => error.hints(),
            Self::Dockerfile { path, source: build::Error::Failed { .. } } => {
                vec![format!("correct that step of `{}`; `docker build` shows all that it prints", path.display())]
            }
            Self::Image(build::Error::Failed { lines, .. }) if lines.iter().any(|line| line.contains("Unable to locate package")) => {
                vec!["correct the package in `environment.system_packages`: the image's Debian release has none of this name".to_owned()]
            }
            Self::Image(error) | Self::Dockerfile { source: error, .. } => error.hints(),
            Self::NoPythonInImage { .. } => {
                vec!["take an image with Python, such as `python:3.11-slim`".to_owned()]
            }
            Self::ForeignPlatform { engine, .. } => vec![
                format!("take an image for `{engine}`, and remove `compute_target.platform` or set it to that"),
                "or have the engine's machine emulate it: its packages `qemu-user-static` and `binfmt-support`".to_owned(),
            ],
            Self::Platform { .. } => vec!["take an image made of Debian packages, such as `python:3.11-slim`".to_owned()],
            Self::CredentialsInImage => vec!["use Docker Engine 20.10 or newer, or an index that wants none".to_owned()],
            Self::BaseGone(_) => vec!["submit the run config itself: it finds or builds the image anew".to_owned()],
            Self::Conda { .. } | Self::InUse(_) => Vec::new(),
        }
    }
}
