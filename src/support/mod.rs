//! What every layer stands on and what knows nothing of jobs.

pub mod clock;
pub mod command;
pub mod dirs;
pub mod fault;
pub mod fs;
pub mod hints;
pub mod http;
pub mod lock;
pub mod platform;
pub mod secret;
pub mod shell;
pub mod stop;
pub mod suggest;
pub mod template;
pub mod uv;
pub mod words;
pub mod yaml;
