//! On whose authority something is done to a user: a permit's, or that of the command line.
//!
//! Services of administration take an [`Authority<A>`]. There are two ways to one: from a
//! [`Permit<A>`], so after the policy said yes to `A`, and from a [`Shell`], which only the
//! modules of [`crate::command`] can make. No request can bring a shell, so what works on its
//! authority cannot be reached over HTTP; whoever has a shell with `DATABASE_URL` and
//! `SECRET_KEY` could write to the tables anyway.

use std::marker::PhantomData;

use uuid::Uuid;

use super::{
    actor::{Actor, Principal, PrincipalType},
    permit::{Action, Permit},
    resource::ResourceRef,
};
use crate::{audit::Doer, command::shell::Shell, http::origin::Origin};

/// The right to do `A` to one resource, and who answers for it.
pub struct Authority<'a, A> {
    doer: Doer,
    origin: &'a Origin,
    resource: ResourceRef,
    actor: Option<&'a Actor>,
    action: PhantomData<fn() -> A>,
}

impl<'a, A: Action> From<&'a Permit<A>> for Authority<'a, A> {
    fn from(permit: &'a Permit<A>) -> Self {
        Self {
            doer: permit.into(),
            origin: permit.origin(),
            resource: permit.resource(),
            actor: Some(permit.actor()),
            action: PhantomData,
        }
    }
}

impl<'a, A: Action> Authority<'a, A> {
    /// That of the command line, over `resource`.
    pub fn of_shell(shell: &'a Shell, resource: ResourceRef) -> Self {
        Self {
            doer: Doer::Program,
            origin: shell.origin(),
            resource,
            actor: None,
            action: PhantomData,
        }
    }
}

impl<A> Authority<'_, A> {
    /// Who is written down as the one who did it.
    pub fn doer(&self) -> Doer {
        self.doer
    }

    /// Where it was asked for.
    pub fn origin(&self) -> &Origin {
        self.origin
    }

    /// The id of what it is about; nil for the system, which has none.
    pub fn id(&self) -> Uuid {
        self.resource.id.unwrap_or_default()
    }

    /// Who asks over HTTP; nobody does at the command line, which stands above everyone.
    pub fn actor(&self) -> Option<&Actor> {
        self.actor
    }

    /// The user who asks, if one does.
    pub fn user_id(&self) -> Option<Uuid> {
        self.actor
            .map(Actor::principal)
            .filter(|principal| principal.r#type == PrincipalType::User)
            .map(|principal: Principal| principal.id)
    }
}
