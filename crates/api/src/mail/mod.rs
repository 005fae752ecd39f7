//! Mail: written into the database with what causes it, sent by a worker.
//!
//! A service calls [`enqueue`] in its own transaction, so that there is no mail about what was
//! rolled back and no request that waits for a mail server. [`Outbox`] sends what is due.

pub mod limit;
mod message;
mod notify;
mod outbox;
mod render;
mod templates;
mod transport;

pub use message::{AddressFault, Mail, Message};
pub use notify::notify;
pub use outbox::{Delivery, MAX_ATTEMPTS, Outbox, enqueue};
pub use transport::{Mailer, MailerFault, SendFault};
