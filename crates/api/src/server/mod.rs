//! Starting and stopping: from settings to a process that serves.

pub mod background;
pub mod metrics;
pub mod run;
pub mod start;
