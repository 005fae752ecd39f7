//! The table `signing_keys`.
//!
//! Whoever changes it holds one advisory lock for the transaction, so instances that start or
//! rotate at once do it one after the other, and the second finds what the first has made.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, Statement, Value as SqlValue};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Algorithm, KeysError, Rotation, pair::KeyPair};
use crate::{
    crypto::seal::Sealer,
    database::db::{Db, DbTx},
};

pub(super) const ACTIVE: &str = "active";
pub(super) const NEXT: &str = "next";
pub(super) const RETIRED: &str = "retired";

/// Any number that nothing else in the database locks: "gatekeys" in ASCII.
const LOCK: i64 = 0x6761_7465_6b65_7973;

const COLUMNS: &str = "kid, algorithm, private_key, state, expires_at";

/// A row as far as it is needed. `public_jwk` is for people who look: what it says is trusted only
/// when it comes out of `private_key`, which nobody can write without `SECRET_KEY`.
#[derive(FromQueryResult)]
pub(super) struct Row {
    pub(super) kid: String,
    pub(super) algorithm: String,
    /// Sealed: the private key, and once retired the public one.
    pub(super) private_key: Vec<u8>,
    pub(super) state: String,
    pub(super) expires_at: Option<DateTime<Utc>>,
}

impl Row {
    pub(super) fn key_pair(
        &self,
        sealer: &Sealer,
        algorithm: Algorithm,
    ) -> Result<KeyPair, KeysError> {
        let pair = KeyPair::from_pkcs8(algorithm, &self.open(sealer)?);
        pair.filter(|pair| pair.kid() == self.kid)
            .ok_or_else(|| self.malformed("the private key is not the one that its row names"))
    }

    pub(super) fn retired_jwk(&self, sealer: &Sealer) -> Result<Value, KeysError> {
        serde_json::from_slice(&self.open(sealer)?)
            .map_err(|_| self.malformed("the public key is no JSON"))
    }

    pub(super) fn opens(&self, sealer: &Sealer) -> bool {
        self.open(sealer).is_ok()
    }

    fn open(&self, sealer: &Sealer) -> Result<Zeroizing<Vec<u8>>, KeysError> {
        sealer
            .open(&label(&self.kid, &self.state), &self.private_key)
            .map_err(|source| KeysError::Sealed {
                kid: self.kid.clone(),
                source,
            })
    }

    fn malformed(&self, what: &'static str) -> KeysError {
        KeysError::Malformed {
            kid: self.kid.clone(),
            what,
        }
    }
}

/// Binds what is sealed to its row, and keeps a public key from being read as a private one.
pub(super) fn label(kid: &str, state: &str) -> String {
    if state == RETIRED {
        format!("retired signing key {kid}")
    } else {
        format!("signing key {kid}")
    }
}

pub(super) async fn read(db: &impl ConnectionTrait) -> Result<Vec<Row>, DbErr> {
    let all = format!("SELECT {COLUMNS} FROM signing_keys ORDER BY created_at, kid");
    Row::find_by_statement(statement(&all, [])).all(db).await
}

pub(super) async fn load_or_create(
    db: &Db,
    sealer: &Sealer,
    algorithm: Algorithm,
    now: DateTime<Utc>,
) -> Result<Vec<Row>, KeysError> {
    let tx = begin(db).await?;
    prune(&tx, now).await?;
    for row in read(&tx).await? {
        if !sealer.is_current(&row.private_key) {
            seal_anew(&tx, sealer, &row).await?;
        }
    }
    complete(&tx, sealer, algorithm, now).await?;
    let rows = read(&tx).await?;
    tx.commit().await?;
    Ok(rows)
}

/// Rotates in the transaction `tx`, and holds the lock of the table until that ends.
pub(super) async fn rotate(
    tx: &DbTx,
    sealer: &Sealer,
    algorithm: Algorithm,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<Rotation, KeysError> {
    lock(tx).await?;
    prune(tx, now).await?;
    let mut retired = None;
    for row in read(tx).await? {
        if row.state == ACTIVE {
            retire(tx, sealer, &row, now, expires_at).await?;
            retired = Some(row.kid);
        } else if row.state == NEXT && row.algorithm != algorithm.as_str() {
            // Has signed nothing, and will not.
            let delete = "DELETE FROM signing_keys WHERE kid = $1";
            tx.execute_raw(statement(delete, [row.kid.into()])).await?;
        }
    }
    complete(tx, sealer, algorithm, now).await?;
    let active = read(tx)
        .await?
        .into_iter()
        .find(|row| row.state == ACTIVE && row.algorithm == algorithm.as_str());
    Ok(Rotation {
        active: active.ok_or(KeysError::NoActiveKey)?.kid,
        retired,
    })
}

async fn begin(db: &Db) -> Result<DbTx, DbErr> {
    let tx = db.begin().await?;
    lock(&tx).await?;
    Ok(tx)
}

async fn lock(tx: &DbTx) -> Result<(), DbErr> {
    let lock = "SELECT pg_advisory_xact_lock($1)";
    tx.execute_raw(statement(lock, [LOCK.into()])).await?;
    Ok(())
}

async fn prune(tx: &DbTx, now: DateTime<Utc>) -> Result<(), DbErr> {
    let delete = "DELETE FROM signing_keys WHERE state = 'retired' AND expires_at <= $1";
    tx.execute_raw(statement(delete, [now.into()])).await?;
    Ok(())
}

/// Sees to it that one key of `algorithm` is active and one is next.
async fn complete(
    tx: &DbTx,
    sealer: &Sealer,
    algorithm: Algorithm,
    now: DateTime<Utc>,
) -> Result<(), KeysError> {
    let name = algorithm.as_str();
    let rows = read(tx).await?;
    let find = |state| {
        rows.iter()
            .find(|row| row.algorithm == name && row.state == state)
    };
    let mut next = find(NEXT);
    if find(ACTIVE).is_none() {
        if let Some(row) = next.take() {
            let promote =
                "UPDATE signing_keys SET state = 'active', activated_at = $2 WHERE kid = $1";
            let values = [row.kid.as_str().into(), now.into()];
            tx.execute_raw(statement(promote, values)).await?;
        } else {
            insert(tx, sealer, algorithm, ACTIVE, now).await?;
        }
    }
    if next.is_none() {
        insert(tx, sealer, algorithm, NEXT, now).await?;
    }
    Ok(())
}

async fn insert(
    tx: &DbTx,
    sealer: &Sealer,
    algorithm: Algorithm,
    state: &str,
    now: DateTime<Utc>,
) -> Result<(), KeysError> {
    let (pair, pkcs8) = tokio::task::spawn_blocking(move || KeyPair::generate(algorithm))
        .await
        .map_err(|_| KeysError::Crypto("no key can be made"))??;
    let private_key = sealer.seal(&label(pair.kid(), state), &pkcs8);
    let insert = "INSERT INTO signing_keys \
        (kid, algorithm, private_key, public_jwk, state, created_at, activated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = [
        pair.kid().into(),
        algorithm.as_str().into(),
        private_key.into(),
        pair.jwk().into(),
        state.into(),
        now.into(),
        (state == ACTIVE).then_some(now).into(),
    ];
    tx.execute_raw(statement(insert, values)).await?;
    tracing::info!(kid = pair.kid(), state, "made a signing key");
    Ok(())
}

/// Destroys the private half, and keeps the public one sealed in its place.
async fn retire(
    tx: &DbTx,
    sealer: &Sealer,
    row: &Row,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), KeysError> {
    let algorithm = row
        .algorithm
        .parse()
        .map_err(|_| row.malformed("unknown algorithm"))?;
    let jwk = row.key_pair(sealer, algorithm)?.jwk().to_string();
    let public = sealer.seal(&label(&row.kid, RETIRED), jwk.as_bytes());
    let update = "UPDATE signing_keys \
        SET state = 'retired', retired_at = $2, expires_at = $3, private_key = $4 WHERE kid = $1";
    let values = [
        row.kid.as_str().into(),
        now.into(),
        expires_at.into(),
        public.into(),
    ];
    tx.execute_raw(statement(update, values)).await?;
    Ok(())
}

async fn seal_anew(tx: &DbTx, sealer: &Sealer, row: &Row) -> Result<(), KeysError> {
    let opened = match row.open(sealer) {
        Ok(opened) => opened,
        // Reading tells of it and goes on without.
        Err(_) if row.state == RETIRED => return Ok(()),
        Err(error) => return Err(error),
    };
    let anew = sealer.seal(&label(&row.kid, &row.state), &opened);
    let update = "UPDATE signing_keys SET private_key = $2 WHERE kid = $1";
    let values = [row.kid.as_str().into(), anew.into()];
    tx.execute_raw(statement(update, values)).await?;
    Ok(())
}

fn statement<const N: usize>(sql: &str, values: [SqlValue; N]) -> Statement {
    Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
}
