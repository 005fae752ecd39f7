//! What the policy's data says of permissions and roles: `opa/data/gatepost/catalog`.
use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use uuid::Uuid;

/// The types of resources that are Gatepost's own. Any other belongs to an application.
pub const TYPES: [&str; 18] = [
    "account",
    "audit",
    "authz",
    "database",
    "group",
    "invitation",
    "keys",
    "member",
    "organization",
    "policy",
    "project",
    "resource",
    "role",
    "self",
    "service_account",
    "system",
    "token",
    "user",
];

/// Where a role can be given.
const LEVELS: [&str; 5] = ["system", "organization", "account", "project", "resource"];

/// Roles and permissions as the policy's data lists them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// The verbs of each of our [`TYPES`].
    pub permissions: BTreeMap<String, Vec<String>>,
    /// What every active user may do with their own account.
    #[serde(rename = "self")]
    pub own: Vec<String>,
    /// What every active principal may do anywhere.
    pub everyone: Vec<String>,
    /// The roles that exist everywhere.
    pub roles: Vec<BuiltinRole>,
}

/// A role that comes with the policy.
///
/// Roles of one key may carry different permissions at different levels, so a role is
/// found by its key and the type of the resource that it is given on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltinRole {
    /// Stable, also when the role changes.
    pub id: Uuid,
    /// What it is called in requests: `admin`, `editor`, …
    pub key: String,
    /// What people call it.
    pub name: String,
    /// What it is for, in a sentence.
    pub description: String,
    /// What it carries.
    pub permissions: Vec<String>,
    /// `system`, `organization`, `account`, `project`, and `resource`, which is anything that an
    /// application registered: some of them.
    pub assignable_at: Vec<String>,
}

/// Why a catalog cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogFault {
    /// The types are not ours: applications' types need no entry.
    #[error("`permissions` must list exactly these types: {}", TYPES.join(", "))]
    Types,
    /// A string that is not a permission.
    #[error("{0:?} is not a permission: `type:verb`, `type:*`, `*:verb` or `*`")]
    Permission(String),
    /// A place that roles cannot be given on.
    #[error("role {role:?} cannot be assignable at {level:?}")]
    Level {
        /// The role's key.
        role: String,
        /// What its `assignable_at` says.
        level: String,
    },
    /// Two roles have the same id, or the same key at the same level.
    #[error("there are two roles {0:?} with the same id, or at the same level")]
    Duplicate(String),
}

impl Catalog {
    /// Whether the roles can be told apart and name permissions only.
    pub(super) fn check(&self) -> Result<(), CatalogFault> {
        if !self.permissions.keys().map(String::as_str).eq(TYPES) {
            return Err(CatalogFault::Types);
        }
        let listed = self
            .permissions
            .iter()
            .flat_map(|(kind, verbs)| verbs.iter().map(move |verb| format!("{kind}:{verb}")));
        let carried = self
            .roles
            .iter()
            .flat_map(|role| role.permissions.iter().cloned());
        let all = self.own.iter().chain(&self.everyone).cloned();
        if let Some(wrong) = listed
            .chain(carried)
            .chain(all)
            .find(|text| !is_permission(text))
        {
            return Err(CatalogFault::Permission(wrong));
        }
        let (mut ids, mut keys) = (HashSet::new(), HashSet::new());
        for role in &self.roles {
            if !ids.insert(role.id) {
                return Err(CatalogFault::Duplicate(role.key.clone()));
            }
            for level in &role.assignable_at {
                if !LEVELS.contains(&level.as_str()) {
                    let (role, level) = (role.key.clone(), level.clone());
                    return Err(CatalogFault::Level { role, level });
                }
                if !keys.insert((&role.key, level)) {
                    return Err(CatalogFault::Duplicate(role.key.clone()));
                }
            }
        }
        Ok(())
    }

    /// Whether some question can be about this permission, or about one that the pattern stands
    /// for. What applications ask about is theirs to name.
    pub fn knows(&self, permission: &str) -> bool {
        match permission.split_once(':') {
            None | Some(("*", _) | (_, "*")) => true,
            Some((kind, verb)) => self
                .permissions
                .get(kind)
                .is_none_or(|verbs| kind == "resource" || verbs.iter().any(|known| known == verb)),
        }
    }

    /// The role of this key that is given on resources of this type.
    pub fn role(&self, key: &str, level: &str) -> Option<&BuiltinRole> {
        self.roles
            .iter()
            .find(|role| role.key == key && role.assignable_at.iter().any(|at| at == level))
    }
}

/// Whether this can stand in a role: `type:verb`, `type:*`, `*:verb` or `*`. Types are
/// `[a-z][a-z0-9_-]{0,62}`, verbs are `[A-Za-z][A-Za-z0-9_.-]{0,62}`.
pub fn is_permission(text: &str) -> bool {
    let short = |part: &str| (1..=63).contains(&part.len());
    let is_type = |kind: &str| {
        kind == "*"
            || short(kind)
                && kind.starts_with(|first: char| first.is_ascii_lowercase())
                && kind
                    .chars()
                    .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-'))
    };
    let is_verb = |verb: &str| {
        verb == "*"
            || short(verb)
                && verb.starts_with(|first: char| first.is_ascii_alphabetic())
                && verb
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    };
    match text.split_once(':') {
        Some(("*", "*")) => false,
        Some((kind, verb)) => is_type(kind) && is_verb(verb),
        None => text == "*",
    }
}

/// Whether someone who holds the permissions `held` somewhere holds `wanted` there.
///
/// `wanted` is one permission or a pattern of them. This is the rule that the policy
/// decides by, for those places that must know it without a question: nobody grants what
/// they lack, and lists ask the database only for what the caller may read.
pub fn covers(held: &[String], wanted: &str) -> bool {
    let has = |permission: &str| held.iter().any(|one| one == permission);
    if has("*") || has(wanted) {
        return true;
    }
    let Some((kind, verb)) = wanted.split_once(':') else {
        return false;
    };
    let of_type = kind != "*" && has(&format!("{kind}:*"));
    let of_verb = verb != "*" && has(&format!("*:{verb}"));
    // A type of an application's falls under what a role may do with `resource`.
    let of_resources = || {
        kind != "*"
            && !TYPES.contains(&kind)
            && (has("resource:*") || has(&format!("resource:{verb}")))
    };
    of_type || of_verb || of_resources()
}

/// Every permission and pattern of which one is enough for `wanted`, which is no pattern.
///
/// The same rule as [`covers`], for queries on what roles carry.
pub fn sufficient(wanted: &str) -> Vec<String> {
    let mut enough = vec!["*".to_owned(), wanted.to_owned()];
    if let Some((kind, verb)) = wanted.split_once(':') {
        enough.extend([format!("{kind}:*"), format!("*:{verb}")]);
        if !TYPES.contains(&kind) {
            enough.extend(["resource:*".to_owned(), format!("resource:{verb}")]);
        }
    }
    enough
}

/// What is both in `held` and in `allowed`: whoever holds the result somewhere may do there
/// exactly what both permissions lists cover.
///
/// A pattern stands for types times verbs, so two patterns have one pattern in common, or nothing.
pub fn common(held: &[String], allowed: &[String]) -> Vec<String> {
    let mut found: Vec<String> = held
        .iter()
        .flat_map(|one| allowed.iter().filter_map(|other| meet(one, other)))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn meet(one: &str, other: &str) -> Option<String> {
    let (one_kind, one_verb) = split(one);
    let (other_kind, other_verb) = split(other);
    let kind = match (one_kind, other_kind) {
        ("*", kind) | (kind, "*") => kind,
        (one, other) if one == other => one,
        // A type of an application's falls under `resource`.
        ("resource", kind) | (kind, "resource") if !TYPES.contains(&kind) => kind,
        _ => return None,
    };
    let verb = match (one_verb, other_verb) {
        ("*", verb) | (verb, "*") => verb,
        (one, other) if one == other => one,
        _ => return None,
    };
    Some(match (kind, verb) {
        ("*", "*") => "*".to_owned(),
        (kind, verb) => format!("{kind}:{verb}"),
    })
}

fn split(pattern: &str) -> (&str, &str) {
    pattern.split_once(':').unwrap_or((pattern, "*"))
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;
    use crate::policy::Bundle;

    fn catalog() -> Catalog {
        Bundle::load(None).unwrap().catalog().clone()
    }

    #[test]
    fn every_wildcard_covers_what_it_says_and_no_more() {
        let held = |permissions: &[&str]| {
            permissions
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        for (permissions, wanted, expected) in [
            (&["*"][..], "a:b", true),
            (&["*"], "*", true),
            (&["project:*"], "project:read", true),
            (&["project:*"], "project:*", true),
            (&["project:*"], "*", false),
            (&["project:*"], "*:read", false),
            (&["*:read"], "project:read", true),
            (&["*:read"], "document:read", true),
            (&["*:read"], "project:*", false),
            (&["resource:*"], "document:share", true),
            (&["resource:*"], "document:*", true),
            (&["resource:read"], "document:read", true),
            (&["resource:read"], "document:write", false),
            (&["resource:*"], "project:read", false),
            (&["resource:*"], "*:read", false),
            (&["document:*"], "resource:read", false),
            (&["project:read", "project:update"], "project:*", false),
            (&[], "project:read", false),
        ] {
            assert_eq!(
                covers(&held(permissions), wanted),
                expected,
                "{permissions:?} {wanted}"
            );
        }
    }

    #[test]
    fn what_is_sufficient_is_what_covers() {
        let patterns = [
            "*",
            "project:*",
            "project:read",
            "*:read",
            "*:write",
            "resource:*",
            "resource:read",
            "document:*",
            "document:read",
            "document:write",
            "resource:write",
        ];
        for wanted in [
            "project:read",
            "document:read",
            "document:write",
            "resource:read",
        ] {
            let enough = sufficient(wanted);
            for pattern in patterns {
                let held = [pattern.to_owned()];
                let is_enough = enough.contains(&held[0]);
                assert_eq!(covers(&held, wanted), is_enough, "{pattern} for {wanted}");
            }
        }
    }

    #[test]
    fn permissions_are_told_from_other_text() {
        for good in [
            "*",
            "project:*",
            "*:read",
            "project:read",
            "a-b_1:canRead.v2",
        ] {
            assert!(is_permission(good), "{good}");
        }
        let long = format!("{}:read", "a".repeat(64));
        for bad in [
            "", ":", "*:*", "project", "project:", ":read", "A:read", "a:b:c", "a: b", "1:a",
            "p*:read", "**", &long,
        ] {
            assert!(!is_permission(bad), "{bad}");
        }
    }

    #[test]
    fn at_every_level_each_role_covers_the_lesser_ones() {
        let catalog = catalog();
        for level in ["organization", "account", "project"] {
            let ladder = ["owner", "admin", "editor", "viewer"];
            for pair in ladder.windows(2) {
                let more = &catalog.role(pair[0], level).unwrap().permissions;
                let less = &catalog.role(pair[1], level).unwrap().permissions;
                let lacking: Vec<_> = less.iter().filter(|one| !covers(more, one)).collect();
                assert!(
                    lacking.is_empty(),
                    "{} lacks {lacking:?} at {level}",
                    pair[0]
                );
                assert!(
                    more.iter().any(|one| !covers(less, one)),
                    "{pair:?} are alike"
                );
            }
        }
    }

    #[test]
    fn an_administrator_neither_deletes_the_place_nor_touches_owners() {
        let catalog = catalog();
        for level in ["organization", "account", "project"] {
            let admin = &catalog.role("admin", level).unwrap().permissions;
            for forbidden in [&format!("{level}:delete"), "role:assign_owner", "*"] {
                assert!(!covers(admin, forbidden), "{forbidden} at {level}");
            }
        }
        let admin_at = |level| &catalog.role("admin", level).unwrap().permissions;
        assert!(covers(admin_at("organization"), "account:delete"));
        assert!(covers(admin_at("account"), "project:delete"));
        assert!(covers(admin_at("project"), "document:delete"));
    }

    #[test]
    fn an_auditor_reads_everything_and_changes_nothing() {
        let catalog = catalog();
        let auditor = &catalog.role("auditor", "system").unwrap().permissions;
        for (kind, verbs) in &catalog.permissions {
            for verb in verbs {
                let reads = ["read", "list"].contains(&verb.as_str());
                assert_eq!(
                    covers(auditor, &format!("{kind}:{verb}")),
                    reads,
                    "{kind}:{verb}"
                );
            }
        }
    }

    #[test]
    fn a_catalog_with_a_fault_is_refused() {
        let good = catalog();
        assert_eq!(good.check(), Ok(()));

        let mut bad = good.clone();
        bad.permissions.insert("document".to_owned(), Vec::new());
        assert_eq!(bad.check(), Err(CatalogFault::Types));

        let mut bad = good.clone();
        bad.roles[0].permissions.push("everything".to_owned());
        assert!(matches!(bad.check(), Err(CatalogFault::Permission(_))));

        let mut bad = good.clone();
        bad.roles[0].assignable_at.push("planet".to_owned());
        assert!(matches!(bad.check(), Err(CatalogFault::Level { .. })));

        let mut bad = good.clone();
        bad.roles[1].id = bad.roles[0].id;
        assert!(matches!(bad.check(), Err(CatalogFault::Duplicate(_))));

        let mut bad = good;
        bad.roles[1].key = bad.roles[0].key.clone();
        assert!(matches!(bad.check(), Err(CatalogFault::Duplicate(_))));
    }

    fn pattern() -> impl Strategy<Value = String> {
        let kinds = select(vec!["project", "account", "resource", "document", "*"]);
        let verbs = select(vec!["read", "update", "share", "*"]);
        (kinds, verbs).prop_map(|(kind, verb)| match (kind, verb) {
            ("*", "*") => "*".to_owned(),
            pair => format!("{}:{}", pair.0, pair.1),
        })
    }

    proptest! {
        #[test]
        fn what_is_common_covers_exactly_what_both_cover(
            held in prop::collection::vec(pattern(), 0..4),
            allowed in prop::collection::vec(pattern(), 0..4),
            kind in select(vec!["project", "account", "resource", "document", "user"]),
            verb in select(vec!["read", "update", "share"]),
        ) {
            let asked = format!("{kind}:{verb}");
            let both = covers(&held, &asked) && covers(&allowed, &asked);
            let common = common(&held, &allowed);
            prop_assert_eq!(covers(&common, &asked), both, "{:?} {}", common, asked);
        }

        #[test]
        fn who_holds_a_pattern_holds_all_that_the_pattern_covers(
            held in prop::collection::vec(pattern(), 0..4),
            wanted in pattern(),
            one in pattern(),
        ) {
            if covers(&held, &wanted) && covers(std::slice::from_ref(&wanted), &one) {
                prop_assert!(covers(&held, &one), "{held:?} {wanted} {one}");
            }
        }
    }
}
