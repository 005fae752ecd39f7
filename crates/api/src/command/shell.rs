//! The command line as someone who acts.

use crate::http::origin::Origin;

/// Someone at the command line, with `DATABASE_URL` and `SECRET_KEY`. Only the modules of this
/// folder can make one; see [`crate::access::authority`].
pub struct Shell {
    origin: Origin,
}

impl Shell {
    /// For one command, which is named in the audit log's place for the request's sender.
    pub(super) fn of(command: &str) -> Self {
        Self {
            origin: Origin::program(command),
        }
    }

    /// Where it is done from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}
