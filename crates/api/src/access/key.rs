//! API keys: what one may do is what its permissions and its owner's roles have in common.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    actor::{Grant, Principal, Subject},
    memo::Reading,
};
use crate::policy::{common, covers};

/// Uses of one key that are closer together than this are written down as one.
pub const NOTED_EVERY: TimeDelta = TimeDelta::minutes(1);

/// A key that was not revoked, as it is kept in memory.
#[derive(Debug)]
pub struct KeyState {
    /// Its id.
    pub id: Uuid,
    /// For whom it acts.
    pub owner: Principal,
    /// What it may do at most.
    pub permissions: Vec<String>,
    /// Good until, and not at, this time.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was made, after its maker had shown who they are.
    pub created_at: DateTime<Utc>,
    hash: Vec<u8>,
    noted_at: AtomicI64,
    narrowed: Mutex<Option<Narrowed>>,
}

/// What the owner held when it was narrowed, and what the key leaves of it.
#[derive(Debug)]
struct Narrowed {
    from: Arc<Subject>,
    to: Arc<Subject>,
}

impl KeyState {
    /// The state of a row, or nothing for a key that counts no more.
    pub fn of(row: entity::api_key::Model) -> Option<Self> {
        let owner = match (row.user_id, row.service_account_id) {
            (Some(id), _) => Principal::user(id),
            (None, Some(id)) => Principal::service_account(id),
            (None, None) => return None,
        };
        row.revoked_at.is_none().then(|| Self {
            id: row.id,
            owner,
            permissions: row.permissions,
            expires_at: row.expires_at,
            created_at: row.created_at,
            hash: row.key_hash,
            noted_at: AtomicI64::new(row.last_used_at.map_or(i64::MIN, |at| at.timestamp())),
            narrowed: Mutex::new(None),
        })
    }

    /// Whether the key whose text has this hash is this one, and good at `now`.
    pub fn is_good(&self, hash: &[u8; 32], now: DateTime<Utc>) -> bool {
        // Hashes of secrets that nobody can guess: comparing them tells nobody anything.
        self.hash == hash && self.expires_at.is_none_or(|end| end > now)
    }

    /// Whether the key may do this at all, whatever its owner may.
    pub fn covers(&self, permission: &str) -> bool {
        // Who may ask about others may ask; about whom is judged question by question.
        covers(&self.permissions, permission)
            || permission == "self:evaluate" && covers(&self.permissions, "authz:evaluate")
    }

    /// The owner with no more than the key leaves of what they hold.
    ///
    /// Computed once for each state of the owner, which is shared as long as it is true.
    pub fn narrow(&self, owner: &Arc<Subject>) -> Arc<Subject> {
        let mut narrowed = self.narrowed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = narrowed.as_ref()
            && Arc::ptr_eq(&known.from, owner)
        {
            return Arc::clone(&known.to);
        }
        let grant = |grant: &Grant| Grant {
            permissions: common(&grant.permissions, &self.permissions).into(),
            ..grant.clone()
        };
        let to = Arc::new(Subject {
            principal: owner.principal,
            status: owner.status.clone(),
            attributes: owner.attributes.clone(),
            email: owner.email.clone(),
            username: owner.username.clone(),
            grants: owner.grants.iter().map(grant).collect(),
            reading: Reading::default(),
        });
        *narrowed = Some(Narrowed {
            from: Arc::clone(owner),
            to: Arc::clone(&to),
        });
        to
    }

    /// Whether a use at `now` is to be written down. Of parallel uses only one is.
    pub fn is_noteworthy(&self, now: DateTime<Utc>) -> bool {
        let (noted, now) = (self.noted_at.load(Ordering::Relaxed), now.timestamp());
        now.saturating_sub(noted) >= NOTED_EVERY.num_seconds()
            && self
                .noted_at
                .compare_exchange(noted, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::access::resource::ResourceRef;

    fn key(permissions: &[&str]) -> KeyState {
        let now = DateTime::UNIX_EPOCH;
        KeyState::of(entity::api_key::Model {
            id: Uuid::now_v7(),
            user_id: Some(Uuid::now_v7()),
            service_account_id: None,
            name: "key".to_owned(),
            prefix: "gp_abc".to_owned(),
            key_hash: vec![1; 32],
            permissions: permissions.iter().map(|&text| text.to_owned()).collect(),
            expires_at: Some(now + TimeDelta::hours(1)),
            last_used_at: None,
            last_used_ip: None,
            revoked_at: None,
            created_at: now,
        })
        .unwrap()
    }

    fn owner(permissions: &[&str]) -> Arc<Subject> {
        Arc::new(Subject {
            principal: Principal::user(Uuid::now_v7()),
            status: "active".to_owned(),
            attributes: json!({}),
            email: None,
            username: None,
            grants: [Grant {
                id: Uuid::now_v7(),
                role: "some".into(),
                permissions: permissions.iter().map(|&text| text.to_owned()).collect(),
                resource: ResourceRef::SYSTEM,
                thing: None,
                organization_id: None,
                group_id: None,
                expires_at: None,
            }]
            .into(),
            reading: Reading::default(),
        })
    }

    #[test]
    fn a_key_leaves_what_both_have_and_follows_its_owner() {
        let key = key(&["project:*", "user:read"]);
        let first = owner(&["*:read"]);
        let narrowed = key.narrow(&first);
        assert_eq!(
            *narrowed.grants[0].permissions,
            ["project:read", "user:read"]
        );
        assert!(Arc::ptr_eq(&narrowed, &key.narrow(&first)), "computed once");
        let later = owner(&[]);
        assert!(key.narrow(&later).grants[0].permissions.is_empty());
    }

    #[test]
    fn asking_is_part_of_asking_about_others() {
        assert!(key(&["authz:evaluate"]).covers("self:evaluate"));
        assert!(key(&["self:evaluate"]).covers("self:evaluate"));
        assert!(!key(&["self:evaluate"]).covers("authz:evaluate"));
        assert!(!key(&[]).covers("organization:list"));
    }

    #[test]
    fn a_key_is_good_with_its_own_text_until_it_expires() {
        let (key, now) = (key(&[]), DateTime::UNIX_EPOCH);
        assert!(key.is_good(&[1; 32], now));
        assert!(!key.is_good(&[2; 32], now));
        assert!(!key.is_good(&[1; 32], now + TimeDelta::hours(1)));
    }

    #[test]
    fn uses_are_noted_once_a_minute() {
        let (key, now) = (key(&[]), DateTime::UNIX_EPOCH);
        assert!(key.is_noteworthy(now));
        assert!(!key.is_noteworthy(now + TimeDelta::seconds(59)));
        assert!(key.is_noteworthy(now + TimeDelta::seconds(60)));
    }
}
