//! Codes by mail: eight digits, good for ten minutes at most, once, and only for the login or the
//! challenge that asked.
//!
//! NIST SP 800-63B-4 (3.1.3.1) does not take e-mail for an out-of-band authenticator, and ASVS 5.0
//! (6.3.6) not at level 3: whoever reads the mailbox can often reset the password, too. It is here
//! because it is better than a password alone, and it is the weakest of the factors.

use anyhow::anyhow;
use aws_lc_rs::{hmac, rand};
use entity::user;
use sea_orm::ConnectionTrait;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    model::{Factor, MfaError},
    repo,
};
use crate::{
    mail::{self, Mail, Message},
    state::AppState,
};

const DIGITS: usize = 8;
const RANGE: u32 = 100_000_000;
/// The largest multiple of [`RANGE`] that a `u32` holds: what is above would favour low codes.
const FAIR: u32 = u32::MAX - u32::MAX % RANGE;

/// A code and the hash that is kept of it.
pub struct Code {
    text: Zeroizing<String>,
    hash: Vec<u8>,
}

/// Draws a code for one login or challenge.
///
/// # Errors
///
/// [`MfaError::Unusable`] without random numbers.
pub fn draw(state: &AppState, verification: Uuid) -> Result<Code, MfaError> {
    let number = loop {
        let mut bytes = [0; 4];
        rand::fill(&mut bytes)
            .map_err(|_| MfaError::Unusable(anyhow!("the system gave no random numbers")))?;
        let number = u32::from_ne_bytes(bytes);
        if number < FAIR {
            break number % RANGE;
        }
    };
    let text = Zeroizing::new(format!("{number:0DIGITS$}"));
    let tag = hmac::sign(&key(state), &message(verification, &text));
    Ok(Code {
        hash: tag.as_ref().to_vec(),
        text,
    })
}

/// Writes the code down and mails it, in one transaction. Wake the outbox after the commit.
///
/// # Errors
///
/// [`MfaError::InvalidToken`] if what it is for has ended.
pub async fn send(
    txn: &impl ConnectionTrait,
    state: &AppState,
    user: &user::Model,
    verification: Uuid,
    code: Code,
    minutes: u32,
) -> Result<(), MfaError> {
    let now = state.clock.now();
    if !repo::set_code(txn, verification, Factor::Email, code.hash, now).await? {
        return Err(MfaError::InvalidToken);
    }
    let message = Message::LoginCode {
        code: code.text.to_string(),
        minutes,
    };
    let mail = Mail::new(&user.email, user.locale.as_deref(), message)
        .map_err(|error| MfaError::Unusable(error.into()))?;
    mail::enqueue(txn, &state.sealer, &mail, now).await?;
    Ok(())
}

/// Whether `code` is the one that was sent for this login or challenge.
pub fn matches(state: &AppState, verification: Uuid, hash: Option<&[u8]>, code: &str) -> bool {
    let message = message(verification, code);
    hash.is_some_and(|hash| hmac::verify(&key(state), &message, hash).is_ok())
}

/// Under a key that is not in the database: eight digits are guessed fast by who has their hash.
fn key(state: &AppState) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &*state.sealer.derive("mfa email code"))
}

fn message(verification: Uuid, code: &str) -> Zeroizing<Vec<u8>> {
    let mut message = Zeroizing::new(verification.as_bytes().to_vec());
    message.extend_from_slice(code.as_bytes());
    message
}
