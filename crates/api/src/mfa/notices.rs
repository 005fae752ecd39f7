//! Mails about changes of factors. Each can close everything with one click.

use entity::user;

use super::model::MfaError;
use crate::{
    database::tx::Tx,
    mail::{self, Mail, Message},
    state::AppState,
};

/// Leaves a mail to `user` in the outbox. Wake it after the commit.
///
/// # Errors
///
/// The database's.
pub async fn send(
    tx: &Tx<'_>,
    state: &AppState,
    user: &user::Model,
    message: Message,
) -> Result<(), MfaError> {
    // An address that no mail can go to is no reason to refuse the change.
    if let Ok(mail) = Mail::new(&user.email, user.locale.as_deref(), message) {
        mail::enqueue(&**tx, &state.sealer, &mail, state.clock.now()).await?;
    }
    Ok(())
}
