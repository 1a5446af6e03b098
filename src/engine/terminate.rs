//! The end of everything that runs in a container, asked for and not forced.

use futures_util::StreamExt;

use super::about::is_podman;
use super::{Engine, Error, ExecSpec};

/// What sends TERM to every process of the container but its first, and ends well when there is none left.
const TO_ALL: [&str; 3] = ["/bin/sh", "-c", "kill -TERM -1 || :"];

impl Engine {
    /// Sends TERM to what runs in a container.
    ///
    /// Docker's init passes it on to the whole group of its child when the container's `TINI_KILL_PROCESS_GROUP` is set. Podman's
    /// init (catatonit) passes it to its child alone, and a shell that waits for a command ignores it until the command ends; there
    /// the processes get it from one more process in the container. A container that does not run is a conflict.
    pub async fn terminate(&self, container: &str) -> Result<(), Error> {
        let version = self.act(|| "describe itself".to_owned(), self.docker.version()).await?;
        if !is_podman(&version) {
            return self.kill(container, "TERM").await;
        }
        let spec = ExecSpec { command: TO_ALL.map(str::to_owned).to_vec(), ..ExecSpec::default() };
        let mut sender = self.exec(container, &spec).await?;
        while sender.output.next().await.is_some() {}
        Ok(())
    }
}
