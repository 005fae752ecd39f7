//! What someone's grants add up to: where a permission is held, and what is
//! held at one place. Expired grants count for nothing.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    access::{
        actor::Grant,
        registered::Below,
        resource::{Located, ResourceType},
    },
    database::tx::Scope,
    policy::covers,
};

/// The places where someone holds a permission by their grants. It holds below them too.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Held at the system, so everywhere.
    pub everywhere: bool,
    /// Organizations it is held on.
    pub organizations: Vec<Uuid>,
    /// Accounts it is held on.
    pub accounts: Vec<Uuid>,
    /// Projects it is held on.
    pub projects: Vec<Uuid>,
    /// Things it is held on that applications registered.
    pub things: Vec<Uuid>,
    tenants: BTreeSet<Uuid>,
}

impl Reach {
    /// Where `permission` is held at `now`.
    pub fn of(grants: &[Grant], permission: &str, now: DateTime<Utc>) -> Self {
        let mut reach = Self::default();
        let carrying =
            |grant: &&Grant| grant.is_in_force(now) && covers(&grant.permissions, permission);
        for grant in grants.iter().filter(carrying) {
            let places = match grant.resource.kind {
                ResourceType::System => {
                    reach.everywhere = true;
                    continue;
                }
                ResourceType::Organization => &mut reach.organizations,
                ResourceType::Account => &mut reach.accounts,
                ResourceType::Project => &mut reach.projects,
                ResourceType::Registered => &mut reach.things,
                ResourceType::User | ResourceType::ServiceAccount => continue,
            };
            places.extend(grant.resource.id);
            reach.tenants.extend(grant.organization_id);
        }
        reach
    }

    /// The rows that a transaction has to see to list what is within reach.
    pub fn scope(&self) -> Scope {
        if self.everywhere {
            Scope::System
        } else {
            Scope::Organizations(self.tenants.iter().copied().collect())
        }
    }
}

/// Every permission that `grants` carry at `place` at `now`.
pub fn held(grants: &[Grant], place: &Located, now: DateTime<Utc>) -> Vec<String> {
    held_below(grants, place, &Below::default(), now)
}

/// Every permission that `grants` carry at what stands at `below` below `base`, at `now`.
pub fn held_below(
    grants: &[Grant],
    base: &Located,
    below: &Below,
    now: DateTime<Utc>,
) -> Vec<String> {
    grants
        .iter()
        .filter(|grant| grant.is_in_force(now) && grant.counts_on(base, below))
        .flat_map(|grant| grant.permissions.iter().cloned())
        .collect()
}

/// Every permission that `grants` carry at `now`, wherever that is.
pub fn held_anywhere(grants: &[Grant], now: DateTime<Utc>) -> Vec<String> {
    grants
        .iter()
        .filter(|grant| grant.is_in_force(now))
        .flat_map(|grant| grant.permissions.iter().cloned())
        .collect()
}

/// Those of the `wanted` permissions that `held` does not cover. Nobody gives or takes what they lack.
pub fn lacking(held: &[String], wanted: &[String]) -> Vec<String> {
    wanted
        .iter()
        .filter(|wanted| !covers(held, wanted))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::access::resource::ResourceRef;

    fn grant(resource: ResourceRef, tenant: Option<Uuid>, permissions: &[&str]) -> Grant {
        Grant {
            id: Uuid::now_v7(),
            role: "some".into(),
            permissions: permissions.iter().map(|&text| text.to_owned()).collect(),
            resource,
            thing: None,
            organization_id: tenant,
            group_id: None,
            expires_at: None,
        }
    }

    #[test]
    fn a_grant_reaches_what_is_below_it_until_it_expires() {
        let now = DateTime::UNIX_EPOCH;
        let (organization, account) = (Uuid::now_v7(), Uuid::now_v7());
        let place = ResourceRef::new(ResourceType::Account, account);
        let tenant = ResourceRef::new(ResourceType::Organization, organization);
        let located = Located {
            resource: place,
            path: [ResourceRef::SYSTEM, tenant, place].into(),
            owner_id: None,
        };
        let mut ending = grant(tenant, Some(organization), &["project:read"]);
        ending.expires_at = Some(now + TimeDelta::seconds(1));
        let grants = [
            ending,
            grant(place, Some(organization), &["account:*"]),
            grant(
                ResourceRef::new(ResourceType::Account, Uuid::now_v7()),
                None,
                &["*"],
            ),
        ];
        assert_eq!(held(&grants, &located, now), ["project:read", "account:*"]);
        let later = now + TimeDelta::seconds(1);
        assert_eq!(held(&grants, &located, later), ["account:*"]);
        assert_eq!(
            Reach::of(&grants, "project:read", now).organizations,
            [organization]
        );
        assert_eq!(
            Reach::of(&grants[..2], "project:read", later),
            Reach::default()
        );
    }

    #[test]
    fn what_is_lacking_is_named() {
        let owned = |texts: &[&str]| {
            texts
                .iter()
                .map(|&text| text.to_owned())
                .collect::<Vec<_>>()
        };
        let wanted = owned(&["project:read", "project:delete", "role:assign"]);
        assert_eq!(lacking(&owned(&["project:*"]), &wanted), ["role:assign"]);
        assert_eq!(
            lacking(&owned(&["*"]), &owned(&["*", "a:*"])),
            Vec::<String>::new()
        );
        assert_eq!(lacking(&owned(&["a:*"]), &owned(&["*"])), ["*"]);
    }
}
