//! Comparing role assignments with what is held, and writing what is new.

use std::collections::HashSet;

use serde_json::json;
use uuid::Uuid;

use super::{
    place::Assignment,
    places::Judged,
    repo::{self, Held, NewAssignment},
    report::{Fault, Kind, Place},
    service::{Import, ImportError, Progressing, TRIES},
};
use crate::{
    access::resource::ResourceType,
    activity,
    audit::{self, Doer, Entry, Target},
    database::db::DbTx,
};

impl Import<'_> {
    /// Compares, and with `progress.writes` writes, one batch of role assignments.
    pub(super) async fn assignments(
        &mut self,
        batch: Vec<(Place, Assignment)>,
        progress: &mut Progressing,
    ) -> Result<(), ImportError> {
        let mut tries = 0;
        let judged = loop {
            match self.write_roles(&batch, progress.writes).await {
                Err(error) if tries < TRIES && error.may_pass() => tries += 1,
                result => break result?,
            }
        };
        for (_, new) in &judged.new {
            let held = (new.user_id, new.role_id, new.resource_id);
            self.directory.held.insert(held);
        }
        let owned = judged.known.iter().map(|(_, organization)| *organization);
        self.directory.owned.extend(owned);
        let first = judged.new.first().map(|(place, _)| place.clone());
        self.note_judged(Kind::Assignments, judged, first.as_ref(), progress)
    }

    async fn write_roles(
        &self,
        batch: &[(Place, Assignment)],
        writes: bool,
    ) -> Result<Judged<NewAssignment>, ImportError> {
        let tx = self.begin().await?;
        let users = batch
            .iter()
            .filter_map(|(_, assignment)| self.people.get(&assignment.user.id).copied().flatten());
        let held = repo::held(&tx, users.collect()).await?;
        let judged = self.judge_roles(batch, &held)?;
        if writes && !judged.new.is_empty() {
            let new: Vec<_> = judged.new.iter().map(|(_, new)| new).collect();
            self.write_assignments(&tx, &new).await?;
            tx.commit().await?;
        }
        Ok(judged)
    }

    fn judge_roles(
        &self,
        batch: &[(Place, Assignment)],
        held: &HashSet<Held>,
    ) -> Result<Judged<NewAssignment>, ImportError> {
        let mut judged = Judged::default();
        let mut now_held = HashSet::new();
        for (at, assignment) in batch {
            if assignment.resource_type == ResourceType::System && !self.options.administrators {
                judged.withheld += 1;
                continue;
            }
            let new = match self.role_of(assignment)? {
                Ok(new) => new,
                Err(fault) => {
                    judged.faults.push((at.clone(), fault));
                    continue;
                }
            };
            if let (ResourceType::Organization, "owner", None, Some(id)) = (
                new.resource_type,
                new.role.as_str(),
                new.expires_at,
                new.organization_id,
            ) {
                judged.known.push((id, id));
            }
            let key = (new.user_id, new.role_id, new.resource_id);
            if new.expires_at.is_some_and(|at| at <= self.clock.now()) {
                let text = "left out: it has expired";
                judged
                    .notices
                    .push((at.clone(), ("left_out", text.to_owned())));
                judged.skipped += 1;
            } else if held.contains(&key)
                || self.directory.held.contains(&key)
                || !now_held.insert(key)
            {
                judged.skipped += 1;
            } else {
                judged.new.push((at.clone(), new));
            }
        }
        Ok(judged)
    }

    /// What an assignment of the source is here.
    fn role_of(
        &self,
        assignment: &Assignment,
    ) -> Result<Result<NewAssignment, Fault>, ImportError> {
        let Some(user_id) = self.people.get(&assignment.user.id).copied().flatten() else {
            let text = "user_id: this user was not imported, or is not sure to be the one who is \
                        here";
            return Ok(Err(("user_missing", text.to_owned())));
        };
        let kind = match assignment.resource_type {
            ResourceType::Organization => Kind::Organizations,
            ResourceType::Account => Kind::Accounts,
            _ => Kind::Projects,
        };
        let resource = assignment.resource.map(|resource| resource.id);
        let organization_id = resource.and_then(|id| self.directory.organization_of(kind, id));
        if resource.is_some() && organization_id.is_none() {
            let text = "resource_id: this resource was not imported";
            return Ok(Err(("resource_missing", text.to_owned())));
        }
        let role = match self.role(&assignment.role, assignment.resource_type) {
            Ok(role) => role,
            Err(ImportError::NoRoles) => return Err(ImportError::NoRoles),
            Err(error) => return Ok(Err(("unknown_role", error.to_string()))),
        };
        Ok(Ok(NewAssignment {
            id: Uuid::now_v7(),
            user_id,
            role_id: role.id,
            role: role.key.clone(),
            resource_type: assignment.resource_type,
            resource_id: resource,
            organization_id,
            reason: assignment.reason.clone(),
            expires_at: assignment.expires_at,
            created_at: assignment.created_at.unwrap_or_else(|| self.clock.now()),
        }))
    }

    /// Writes assignments with their entries.
    pub(super) async fn write_assignments(
        &self,
        tx: &DbTx,
        new: &[&NewAssignment],
    ) -> Result<(), ImportError> {
        if new.is_empty() {
            return Ok(());
        }
        repo::insert_assignments(tx, new).await?;
        let users: Vec<_> = new.iter().map(|new| new.user_id).collect();
        activity::record_all(tx, self.clock, &self.origin, &users, "role_assigned").await?;
        let entries = new.iter().map(|new| assigned(new));
        audit::record_all(tx, self.clock, &self.origin, entries).await?;
        Ok(())
    }
}

fn assigned(new: &NewAssignment) -> Entry {
    Entry {
        doer: Doer::Program,
        action: "role.assigned",
        target: Target::within(new.organization_id, "role_assignment", new.id),
        details: json!({
            "principal": { "type": "user", "id": new.user_id },
            "role": new.role,
            "role_id": new.role_id,
            "resource": { "type": new.resource_type.as_str(), "id": new.resource_id },
            "granted_by": null,
            "reason": new.reason,
            "expires_at": new.expires_at,
            "imported": true,
        }),
    }
}
