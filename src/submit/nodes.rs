//! The nodes of a job, for who asks about it.

use super::{Error, Jobs};
use crate::job::{NodeState, NodeWord, Record};

impl Jobs {
    /// Returns how the nodes of a job stand; none of a job that has not several, or whose nodes are not there yet.
    pub fn nodes(&self, record: &Record) -> Vec<NodeState> {
        let mut nodes = self.attempt(record).nodes();
        if record.state.is_ended() {
            // Whoever watched over them did not live to see their end.
            for node in nodes.iter_mut().filter(|node| node.state == NodeWord::Running) {
                node.state = NodeWord::Unknown;
            }
        }
        nodes
    }

    /// Fails when a job has no node of this rank.
    pub fn has_node(&self, record: &Record, rank: u32) -> Result<(), Error> {
        let count = self.attempt(record).spec().ok().flatten().map_or(1, |spec| spec.nodes);
        if rank < count { Ok(()) } else { Err(Error::NoSuchNode { id: record.id.to_string(), rank, count }) }
    }
}
