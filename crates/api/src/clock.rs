//! The time of day, as a dependency.

use chrono::{DateTime, Utc};

/// Tells the time. Tests hold one that stands still until moved.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the time"
    )]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}
