//! The short way to write a mail within a transaction.

use sea_orm::DbErr;

use super::{Mail, Message, enqueue};
use crate::{database::tx::Tx, state::AppState};

/// Writes a mail to `to` into the outbox. Wake [`AppState::mail`] after the commit.
///
/// An address that mail cannot be sent to, such as that of the break-glass administrator may be,
/// gets none.
///
/// # Errors
///
/// The database's.
pub async fn notify(
    tx: &Tx<'_>,
    state: &AppState,
    to: &str,
    locale: Option<&str>,
    message: Message,
) -> Result<(), DbErr> {
    if let Ok(mail) = Mail::new(to, locale, message) {
        enqueue(&**tx, &state.sealer, &mail, state.clock.now()).await?;
    }
    Ok(())
}
