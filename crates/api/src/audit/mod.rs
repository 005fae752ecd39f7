//! The audit log: who did what to what, written in the transaction that did it.
//!
//! Nothing is ever changed or taken out here; the database refuses the API's
//! role any update or deletion. After the commit the [`sealer`] gives each entry
//! its place in a chain of hashes, which [`verify`] recomputes.
//!
//! Entries speak of people by their ids alone: erasing a person leaves entries
//! under a pseudonym, and the chain whole.

pub mod chain;
pub mod handlers;
pub mod model;
pub mod sealer;
pub mod service;
pub mod verify;

use std::fmt;

use entity::audit_log;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    access::{
        actor::{Actor, Principal},
        permit::Permit,
        resource::ResourceRef,
    },
    clock::Clock,
    http::origin::Origin,
};

/// Who is written down as the one who did it.
#[derive(Clone, Copy, Debug)]
pub enum Doer {
    /// A principal, by which session.
    Principal(Principal, Option<Uuid>),
    /// A principal, by which API key.
    Key(Principal, Uuid),
    /// Someone who has not shown who they are.
    Anonymous,
    /// The program itself, or someone at its command line.
    Program,
}

impl<A> From<&Permit<A>> for Doer {
    fn from(permit: &Permit<A>) -> Self {
        Self::from(permit.actor())
    }
}

impl From<&Actor> for Doer {
    fn from(actor: &Actor) -> Self {
        match actor.key() {
            Some(key) => Self::Key(actor.principal(), key.id),
            None => Self::Principal(actor.principal(), actor.session_id()),
        }
    }
}

/// What it was done to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Such as `user` or `role_assignment`.
    pub kind: &'static str,
    /// Its id, where it has one.
    pub id: Option<String>,
    /// The tenant it belongs to.
    pub organization_id: Option<Uuid>,
}

impl Target {
    /// Something that belongs to no tenant.
    pub fn global(kind: &'static str, id: impl fmt::Display + Copy) -> Self {
        Self {
            kind,
            id: Some(id.to_string()),
            organization_id: None,
        }
    }

    /// Something of a tenant.
    pub fn within(
        organization_id: Option<Uuid>,
        kind: &'static str,
        id: impl fmt::Display + Copy,
    ) -> Self {
        Self {
            organization_id,
            ..Self::global(kind, id)
        }
    }

    /// A resource of the hierarchy.
    pub fn resource(organization_id: Option<Uuid>, resource: ResourceRef) -> Self {
        Self {
            kind: resource.kind.as_str(),
            id: resource.id.map(|id| id.to_string()),
            organization_id,
        }
    }
}

/// One entry. `details` holds what is needed to understand it later, and no secret; nothing that
/// names a person either, such as an address: entries outlive the people that they speak of.
pub struct Entry {
    /// Who did it.
    pub doer: Doer,
    /// What, as `type.verb_in_the_past` such as `project.created`.
    pub action: &'static str,
    /// To what.
    pub target: Target,
    /// What else there is to know.
    pub details: Value,
}

/// Writes one entry, in the transaction of what it describes.
pub async fn record(
    txn: &impl ConnectionTrait,
    clock: &dyn Clock,
    origin: &Origin,
    entry: Entry,
) -> Result<(), DbErr> {
    record_all(txn, clock, origin, [entry]).await
}

/// Writes several entries at once, 3000 at most.
pub async fn record_all(
    txn: &impl ConnectionTrait,
    clock: &dyn Clock,
    origin: &Origin,
    entries: impl IntoIterator<Item = Entry>,
) -> Result<(), DbErr> {
    let rows = entries.into_iter().map(|entry| row(clock, origin, entry));
    audit_log::Entity::insert_many(rows)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

fn row(clock: &dyn Clock, origin: &Origin, entry: Entry) -> audit_log::ActiveModel {
    let mut details = entry.details;
    let (actor_type, actor_id, actor_session) = match entry.doer {
        Doer::Principal(principal, session) => {
            (principal.r#type.as_str(), Some(principal.id), session)
        }
        Doer::Key(principal, key) => {
            if let Value::Object(details) = &mut details {
                details.insert("api_key_id".to_owned(), key.to_string().into());
            }
            (principal.r#type.as_str(), Some(principal.id), None)
        }
        Doer::Anonymous => ("anonymous", None, None),
        Doer::Program => ("program", None, None),
    };
    audit_log::ActiveModel {
        id: Set(Uuid::now_v7()),
        at: Set(clock.now()),
        actor_type: Set(actor_type.to_owned()),
        actor_id: Set(actor_id),
        actor_session: Set(actor_session),
        action: Set(entry.action.to_owned()),
        target_type: Set(Some(entry.target.kind.to_owned())),
        target_id: Set(entry.target.id),
        organization_id: Set(entry.target.organization_id),
        request_id: Set(Some(origin.request_id.to_string())),
        ip: Set(Some(origin.network())),
        outcome: Set("success".to_owned()),
        details: Set(details),
    }
}
