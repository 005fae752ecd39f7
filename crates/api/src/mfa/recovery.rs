//! Recovery codes: ten on paper, each of which stands in for a lost factor once.
//!
//! A code such as `3-K7QM-02XA-9FTR-WE5D` is a number and 80 random bits in Crockford's base32. The
//! number is no secret: it says which of the ten hashes to compare with, so that a try costs one
//! Argon2 and not ten. Below 112 bits NIST SP 800-63B-4 (3.1.2.2) asks for a slow, salted hash.

use anyhow::anyhow;
use aws_lc_rs::rand;
use entity::recovery_code::{ActiveModel, Column, Entity, Model};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait,
    QueryFilter, sea_query::Expr,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::model::MfaError;
use crate::{crypto::password::Password, state::AppState};

/// Codes of a user.
const COUNT: u8 = 10;
const SECRET_BYTES: usize = 10;
/// Characters of [`SECRET_BYTES`], five bits each.
const SECRET_CHARS: usize = 16;
/// Without I, L, O and U, which people mistake for others.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A set that was hashed and has yet to be written.
pub struct Set10 {
    /// To be shown once.
    pub texts: Vec<String>,
    hashes: Vec<String>,
}

/// Draws and hashes ten codes. Takes as long as ten logins: do it outside of transactions.
///
/// # Errors
///
/// [`MfaError::Hashing`] if too much is being hashed, [`MfaError::Unusable`] without random numbers.
pub async fn draw(state: &AppState) -> Result<Set10, MfaError> {
    let mut set = Set10 {
        texts: Vec::new(),
        hashes: Vec::new(),
    };
    for number in 0..COUNT {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        rand::fill(secret.as_mut())
            .map_err(|_| MfaError::Unusable(anyhow!("the system gave no random numbers")))?;
        let secret = encode(&secret);
        let password =
            Password::parse(&secret).map_err(|error| MfaError::Unusable(error.into()))?;
        set.hashes.push(state.hasher.hash(&password).await?);
        let groups: Vec<&str> = (0..4).map(|at| &secret[at * 4..at * 4 + 4]).collect();
        set.texts.push(format!("{number}-{}", groups.join("-")));
    }
    Ok(set)
}

/// Puts a set in the place of the one before.
pub async fn replace(
    txn: &impl ConnectionTrait,
    state: &AppState,
    user_id: Uuid,
    set: Set10,
) -> Result<Vec<String>, DbErr> {
    remove(txn, user_id).await?;
    let now = state.clock.now();
    let rows = (0..).zip(set.hashes).map(|(number, hash)| ActiveModel {
        id: Set(Uuid::now_v7()),
        user_id: Set(user_id),
        number: Set(number),
        code_hash: Set(hash),
        used_at: Set(None),
        created_at: Set(now),
    });
    Entity::insert_many(rows)
        .exec_without_returning(txn)
        .await?;
    Ok(set.texts)
}

/// Takes them all out.
pub async fn remove(txn: &impl ConnectionTrait, user_id: Uuid) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::UserId.eq(user_id))
        .exec(txn)
        .await?;
    Ok(())
}

/// How many are left.
pub async fn left(db: &impl ConnectionTrait, user_id: Uuid) -> Result<u64, DbErr> {
    Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::UsedAt.is_null())
        .count(db)
        .await
}

/// The code with this text, if it is one of the user's that is left. Takes one hash in any case.
///
/// # Errors
///
/// [`MfaError::Hashing`] if too much is being hashed.
pub async fn find(state: &AppState, user_id: Uuid, text: &str) -> Result<Option<Model>, MfaError> {
    let (number, secret) = decode(text).unwrap_or((-1, "none".to_owned()));
    let row = Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Number.eq(number))
        .filter(Column::UsedAt.is_null())
        .one(&state.db)
        .await?;
    let password = Password::parse(&secret).map_err(|_| MfaError::InvalidCode)?;
    let stored = row.as_ref().map(|row| row.code_hash.as_str());
    let verification = state.hasher.verify(&password, stored).await?;
    Ok(row.filter(|_| verification.matches))
}

/// Uses one up. Of any number of parallel uses one is told `true`.
pub async fn consume(
    txn: &impl ConnectionTrait,
    state: &AppState,
    id: Uuid,
) -> Result<bool, DbErr> {
    let updated = Entity::update_many()
        .col_expr(Column::UsedAt, Expr::value(state.clock.now()))
        .filter(Column::Id.eq(id))
        .filter(Column::UsedAt.is_null())
        .exec(txn)
        .await?;
    Ok(updated.rows_affected == 1)
}

fn encode(secret: &[u8; SECRET_BYTES]) -> Zeroizing<String> {
    let bits = secret
        .iter()
        .fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    let digits = (0..SECRET_CHARS).rev().map(|at| {
        let index = usize::try_from(bits >> (at * 5) & 31).unwrap_or(0);
        char::from(ALPHABET[index])
    });
    Zeroizing::new(digits.collect())
}

/// Number and secret of a code as someone typed it.
fn decode(text: &str) -> Option<(i16, String)> {
    let mut digits = text.bytes().map(|byte| match byte.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    });
    let number = digits.next().filter(u8::is_ascii_digit)?;
    let secret: Vec<u8> = digits.collect();
    let fits = secret.len() == SECRET_CHARS && secret.iter().all(|byte| ALPHABET.contains(byte));
    let secret = String::from_utf8(secret).ok().filter(|_| fits)?;
    Some((i16::from(number - b'0'), secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eighty_bits_are_sixteen_characters() {
        assert_eq!(*encode(&[0; 10]), "0".repeat(16));
        assert_eq!(*encode(&[255; 10]), "Z".repeat(16));
        let mut one = [0; 10];
        one[9] = 1;
        assert_eq!(*encode(&one), "0000000000000001");
        one = [0; 10];
        one[0] = 0b1000_0000;
        assert_eq!(*encode(&one), "G000000000000000");
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let secret = "K7QM01XA9FTRWE5D".to_owned();
        for text in [
            "3K7QM01XA9FTRWE5D",
            "3k7qmoixa9ftrwe5d",
            "3K7QMOLXA9FTRWE5D",
        ] {
            assert_eq!(decode(text), Some((3, secret.clone())), "{text}");
        }
        for wrong in [
            "",
            "3",
            "K7QM01XA9FTRWE5D",
            "3K7QM01XA9FTRWE5",
            "3K7QM01XA9FTRWE5U",
            "é",
        ] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
