//! What a job is: its id, states and outcome, and what is kept of it.
