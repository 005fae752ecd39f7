//! Recomputes the chain, in steps, and names the first link that does not hold.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::{audit_log, audit_seal};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Statement,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    chain::{self, GENESIS, Hash},
    sealer::stored,
};

/// Seals that are read at once.
const STEP: u64 = 1000;

/// How far the chain was found whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The number of the last link that was checked; 0 before the first.
    pub seq: i64,
    /// Its hash, which the next one has to follow.
    pub hash: Hash,
}

impl Position {
    /// Before the first link.
    pub const START: Self = Self {
        seq: 0,
        hash: GENESIS,
    };
}

/// The end of the chain at some time, to be kept elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The number of the last link; 0 for an empty chain.
    pub seq: i64,
    /// Its hash.
    pub hash: Hash,
    /// When it was sealed.
    pub at: Option<DateTime<Utc>>,
}

/// What is wrong with a link, or with the chain as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The entry, or its hash, is not what was sealed.
    Altered,
    /// The entry was sealed, but at another place.
    Reordered,
    /// The entry is gone.
    EntryMissing,
    /// Seals are gone.
    SealMissing,
    /// It does not follow the seal before it.
    Unlinked,
    /// The chain ends before an anchor.
    Cut,
    /// The chain has another hash than an anchor.
    Replaced,
    /// An entry is neither sealed nor waits for it.
    Unsealed,
}

/// The first link that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Break {
    /// What is wrong.
    pub kind: Kind,
    /// Where in the chain.
    pub seq: i64,
    /// Which entry.
    pub entry_id: Option<Uuid>,
    /// The same for people.
    pub text: String,
}

/// What a step found.
#[derive(Debug)]
pub struct Step {
    /// How far the chain is whole.
    pub position: Position,
    /// Whether that is its end.
    pub is_end: bool,
    /// What comes next, if that does not hold.
    pub broken: Option<Break>,
}

/// Checks up to a thousand links after `from`.
///
/// # Errors
///
/// The database's.
pub async fn step(db: &impl ConnectionTrait, from: Position) -> Result<Step, DbErr> {
    let seals = audit_seal::Entity::find()
        .filter(audit_seal::Column::Seq.gt(from.seq))
        .order_by_asc(audit_seal::Column::Seq)
        .limit(STEP)
        .all(db)
        .await?;
    let ids = seals.iter().map(|seal| seal.entry_id);
    let entries: HashMap<Uuid, audit_log::Model> = audit_log::Entity::find()
        .filter(audit_log::Column::Id.is_in(ids))
        .all(db)
        .await?
        .into_iter()
        .map(|entry| (entry.id, entry))
        .collect();
    let mut position = from;
    for seal in &seals {
        if let Some(broken) = fault(position, seal, &entries)? {
            return Ok(Step {
                position,
                is_end: false,
                broken: Some(broken),
            });
        }
        position = Position {
            seq: seal.seq,
            hash: stored(&seal.hash)?,
        };
    }
    Ok(Step {
        position,
        is_end: (seals.len() as u64) < STEP,
        broken: None,
    })
}

fn fault(
    before: Position,
    seal: &audit_seal::Model,
    entries: &HashMap<Uuid, audit_log::Model>,
) -> Result<Option<Break>, DbErr> {
    let (seq, id) = (seal.seq, seal.entry_id);
    let broken = |kind, text| {
        Ok(Some(Break {
            kind,
            seq,
            entry_id: Some(id),
            text,
        }))
    };
    let expected = before.seq + 1;
    if seq != expected {
        let text = format!(
            "seal {expected} is missing: after {} comes {seq}",
            before.seq
        );
        return Ok(Some(Break {
            kind: Kind::SealMissing,
            seq: expected,
            entry_id: None,
            text,
        }));
    }
    let (prev, sealed) = (stored(&seal.prev_hash)?, stored(&seal.hash)?);
    if prev != before.hash {
        let text = format!(
            "seal {seq} does not follow seal {}: one of them was replaced",
            before.seq
        );
        return broken(Kind::Unlinked, text);
    }
    let Some(entry) = entries.get(&id) else {
        return broken(
            Kind::EntryMissing,
            format!("entry {id} of seal {seq} is missing"),
        );
    };
    let hashed = |entry| chain::hash(prev, seq, entry).map_err(|e| DbErr::Custom(e.to_string()));
    if hashed(entry)? == sealed {
        return Ok(None);
    }
    for other in entries.values() {
        if hashed(other)? == sealed {
            let text = format!(
                "seal {seq} is that of entry {}, not of entry {id}: they were reordered",
                other.id
            );
            return broken(Kind::Reordered, text);
        }
    }
    broken(
        Kind::Altered,
        format!("entry {id} of seal {seq} is not what was sealed: it was altered"),
    )
}

/// The end of the chain.
///
/// # Errors
///
/// The database's.
pub async fn head(db: &impl ConnectionTrait) -> Result<Anchor, DbErr> {
    let last = audit_seal::Entity::find()
        .order_by_desc(audit_seal::Column::Seq)
        .one(db)
        .await?;
    Ok(match last {
        Some(seal) => Anchor {
            seq: seal.seq,
            hash: stored(&seal.hash)?,
            at: Some(seal.sealed_at),
        },
        None => Anchor {
            seq: 0,
            hash: GENESIS,
            at: None,
        },
    })
}

/// The position just before link `seq`, by what is stored there. `None` if the chain is shorter.
///
/// # Errors
///
/// The database's.
pub async fn before(db: &impl ConnectionTrait, seq: i64) -> Result<Option<Position>, DbErr> {
    if seq <= 1 {
        return Ok(Some(Position::START));
    }
    let seal = audit_seal::Entity::find_by_id(seq - 1).one(db).await?;
    seal.map(|seal| {
        Ok(Position {
            seq: seal.seq,
            hash: stored(&seal.hash)?,
        })
    })
    .transpose()
}

/// Whether an anchor still is in the chain.
///
/// # Errors
///
/// The database's.
pub async fn check_anchor(
    db: &impl ConnectionTrait,
    anchor: &Anchor,
) -> Result<Option<Break>, DbErr> {
    let there = match anchor.seq {
        0 => Some(GENESIS),
        seq => {
            let seal = audit_seal::Entity::find_by_id(seq).one(db).await?;
            seal.map(|seal| stored(&seal.hash)).transpose()?
        }
    };
    let (kind, text) = match there {
        Some(hash) if hash == anchor.hash => return Ok(None),
        Some(_) => (
            Kind::Replaced,
            format!(
                "seal {} has another hash than the anchor: it was replaced",
                anchor.seq
            ),
        ),
        None => (
            Kind::Cut,
            format!(
                "the anchor is at seal {}, the chain ends at {}: its end was cut off",
                anchor.seq,
                head(db).await?.seq
            ),
        ),
    };
    Ok(Some(Break {
        kind,
        seq: anchor.seq,
        entry_id: None,
        text,
    }))
}

/// An entry that is neither sealed nor waits: its seal was taken out, or it was put in by a way
/// around the triggers. Reads the whole log.
///
/// # Errors
///
/// The database's.
pub async fn stray(db: &impl ConnectionTrait) -> Result<Option<Break>, DbErr> {
    let sql = "SELECT l.id FROM audit_log l
        WHERE NOT EXISTS (SELECT FROM audit_seals s WHERE s.entry_id = l.id)
          AND NOT EXISTS (SELECT FROM audit_pending p WHERE p.entry_id = l.id)
        ORDER BY l.id LIMIT 1";
    let statement = Statement::from_string(db.get_database_backend(), sql);
    let Some(row) = db.query_one_raw(statement).await? else {
        return Ok(None);
    };
    let id: Uuid = row.try_get("", "id")?;
    Ok(Some(Break {
        kind: Kind::Unsealed,
        seq: head(db).await?.seq,
        entry_id: Some(id),
        text: format!(
            "entry {id} has no seal and waits for none: its seal was taken out, or it was put in \
             by a way around the triggers"
        ),
    }))
}
