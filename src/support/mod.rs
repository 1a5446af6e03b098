//! What every layer stands on and what knows nothing of jobs.

pub mod azure;
pub mod causes;
pub mod clock;
pub mod command;
mod count;
pub mod daemon;
pub mod dirs;
mod duration;
pub mod fault;
pub mod figures;
pub mod fs;
pub mod hints;
pub mod http;
pub mod lock;
pub mod memory;
pub mod platform;
pub mod process;
pub mod secret;
pub mod shell;
pub mod stop;
pub mod suggest;
pub mod template;
pub mod uv;
pub mod words;
pub mod yaml;
