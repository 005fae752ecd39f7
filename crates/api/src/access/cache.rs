//! What the hot path knows without asking the database.
//!
//! An entry counts only while nothing it was made of has changed since its
//! loading *began*, so a change can never be overtaken by an older answer.
//! Changes made here are applied before their request is answered; those of
//! other instances come by [`super::listener`]. While that is cut off, nothing
//! is answered from memory.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;
use uuid::Uuid;

use super::{
    actor::{Holder, HolderType, Principal, SessionState, Subject},
    freshness,
    key::KeyState,
    memo::Memo,
    registered::{Key, Registration},
    resource::{Located, ResourceRef, ResourceType},
};
use crate::crypto::keys::AccessClaims;

/// Entries of each kind; about 100 MiB if all are full, with few grants each.
const CAPACITY: u64 = 100_000;
/// No entry lives longer, whatever was or was not heard.
const BACKSTOP: Duration = Duration::from_mins(1);
/// Counters of change. More of them means that one change makes fewer others be read again.
const SHARDS: usize = 8192;

/// Something that changed in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A session ended, or was stepped up.
    Session(Uuid),
    /// An API key was revoked or changed.
    ApiKey(Uuid),
    /// A user's status, attributes or names.
    User(Uuid),
    /// The roles that a principal holds.
    Grants(Principal),
    /// The roles that a group holds. Its members are many, and nobody remembers who they are.
    GroupGrants(Uuid),
    /// What some role carries.
    Role,
    /// Where a resource stands, or that it is gone.
    Resource(ResourceRef),
    /// What an application registered by this type and id.
    Registered(Key),
    /// Where things stand that applications registered.
    Registrations,
    /// The signing keys.
    Keys,
    /// Everything up to this revision was told.
    Revision(i64),
    /// The database itself: it may have gone back in time.
    Everything,
}

impl Change {
    /// The roles that `holder` holds.
    pub const fn grants(holder: Holder) -> Self {
        let id = holder.id;
        match holder.r#type {
            HolderType::User => Self::Grants(Principal::user(id)),
            HolderType::ServiceAccount => Self::Grants(Principal::service_account(id)),
            HolderType::Group => Self::GroupGrants(id),
        }
    }

    /// Reads the payload of a notification: `<kind> <id>`, as the triggers write it.
    pub fn parse(payload: &str) -> Option<Self> {
        let mut words = payload.split(' ');
        let kind = words.next()?;
        let change = match (kind, words.next(), words.next()) {
            ("session", Some(id), None) => Self::Session(id.parse().ok()?),
            ("api_key", Some(id), None) => Self::ApiKey(id.parse().ok()?),
            ("user", Some(id), None) => Self::User(id.parse().ok()?),
            ("grants", Some(r#type), Some(id)) => Self::grants(Holder {
                r#type: r#type.parse().ok()?,
                id: id.parse().ok()?,
            }),
            ("role", _, None) => Self::Role,
            ("resource", Some(r#type), Some(id)) => Self::Resource(ResourceRef::new(
                r#type.parse::<ResourceType>().ok()?,
                id.parse().ok()?,
            )),
            ("registered", Some(key), None) => Self::Registered(hash(key)?),
            ("registrations", None, None) => Self::Registrations,
            ("keys", ..) => Self::Keys,
            ("everything", None, None) => Self::Everything,
            ("revision", Some(number), None) => Self::Revision(number.parse().ok()?),
            _ => return None,
        };
        words.next().is_none().then_some(change)
    }
}

/// Reads 64 hexadecimal digits.
fn hash(text: &str) -> Option<Key> {
    let mut key = [0; 32];
    (text.len() == 64 && text.is_ascii()).then_some(())?;
    for (index, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(key)
}

/// Everything that is kept in memory.
pub struct Caches {
    /// Access tokens that were verified, by their SHA-256.
    pub tokens: Cache<[u8; 32], Arc<AccessClaims>>,
    /// Live sessions, by id.
    pub sessions: Cached<Uuid, SessionState>,
    /// API keys that were not revoked, by id.
    pub keys: Cached<Uuid, KeyState>,
    /// Ids of API keys, by the SHA-256 of their text. A key never changes its text, and whoever
    /// looks here compares it with the key's own.
    pub key_ids: Cache<[u8; 32], Uuid>,
    /// What principals hold.
    pub subjects: Cached<Principal, Subject>,
    /// Where resources stand.
    pub resources: Cached<ResourceRef, Located>,
    /// What applications have registered, and what they are known not to have.
    pub registrations: Cached<Key, Registration>,
    /// The types of which anything is registered.
    pub registered_types: Cached<(), HashSet<String>>,
    /// What the policy has said.
    pub memo: Memo,
    /// The last revision that was heard of.
    revision: AtomicI64,
    listening: Arc<AtomicBool>,
}

impl Default for Caches {
    fn default() -> Self {
        let listening = Arc::new(AtomicBool::new(false));
        Self {
            tokens: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(BACKSTOP)
                .build(),
            sessions: Cached::new(&listening),
            keys: Cached::new(&listening),
            key_ids: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(BACKSTOP)
                .build(),
            subjects: Cached::new(&listening),
            resources: Cached::new(&listening),
            registrations: Cached::new(&listening),
            registered_types: Cached::with_shards(&listening, 1),
            memo: Memo::default(),
            revision: AtomicI64::new(0),
            listening,
        }
    }
}

impl Caches {
    /// Forgets what `change` made untrue.
    pub fn forget(&self, change: &Change) {
        match change {
            Change::Session(id) => self.sessions.touch(id),
            Change::ApiKey(id) => self.keys.touch(id),
            Change::User(id) => self.subjects.touch(&Principal::user(*id)),
            Change::Grants(principal) => self.subjects.touch(principal),
            Change::Role | Change::GroupGrants(_) => self.subjects.touch_all(),
            Change::Resource(resource) => {
                self.resources.touch(resource);
                // What stands below it moves or goes along.
                self.registrations.touch_all();
            }
            Change::Registered(key) => {
                self.registrations.touch(key);
                self.registered_types.touch_all();
            }
            Change::Registrations => {
                self.registrations.touch_all();
                self.registered_types.touch_all();
            }
            Change::Keys => self.tokens.invalidate_all(),
            Change::Everything => self.forget_all(),
            Change::Revision(number) => {
                self.revision.fetch_max(*number, Ordering::SeqCst);
            }
        }
    }

    /// Forgets everything: changes may have been missed.
    pub fn forget_all(&self) {
        self.tokens.invalidate_all();
        self.sessions.touch_all();
        self.keys.touch_all();
        self.subjects.touch_all();
        self.resources.touch_all();
        self.registrations.touch_all();
        self.registered_types.touch_all();
    }

    /// Changes made elsewhere are heard of from now on, and all up to `revision` are in the database.
    pub fn start_listening(&self, revision: i64) {
        self.forget_all();
        self.revision.store(revision, Ordering::SeqCst);
        self.listening.store(true, Ordering::SeqCst);
    }

    /// Changes made elsewhere are not heard of. While so, nothing is answered from memory.
    pub fn stop_listening(&self) {
        self.listening.store(false, Ordering::SeqCst);
    }

    /// The revision that everything in memory contains; nothing while nothing is answered from there.
    pub fn revision(&self) -> Option<i64> {
        self.is_listening()
            .then(|| self.revision.load(Ordering::SeqCst))
    }

    /// Whether changes made elsewhere are heard of.
    pub fn is_listening(&self) -> bool {
        self.listening.load(Ordering::SeqCst)
    }
}

/// One kind of entry.
pub struct Cached<K, V> {
    entries: Cache<K, (Stamp, Arc<V>)>,
    shards: Box<[AtomicU64]>,
    all: AtomicU64,
    hasher: RandomState,
    listening: Arc<AtomicBool>,
}

/// How often what an entry is made of had changed when its loading began.
type Stamp = (u64, u64);

impl<K, V> Cached<K, V>
where
    K: Copy + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn new(listening: &Arc<AtomicBool>) -> Self {
        Self::with_shards(listening, SHARDS)
    }

    fn with_shards(listening: &Arc<AtomicBool>, shards: usize) -> Self {
        Self {
            entries: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(BACKSTOP)
                .build(),
            shards: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            all: AtomicU64::new(0),
            hasher: RandomState::new(),
            listening: Arc::clone(listening),
        }
    }

    /// The entry of `key`, from memory if that is known to be true, else as `load` finds it.
    pub async fn get_or_load<E>(
        &self,
        key: K,
        load: impl AsyncFnOnce() -> Result<Option<Arc<V>>, E>,
    ) -> Result<Option<Arc<V>>, E> {
        let usable = self.listening.load(Ordering::SeqCst);
        let stamp = self.stamp(&key);
        if usable
            && !freshness::is_from_database()
            && let Some((made, value)) = self.entries.get(&key)
            && made == stamp
        {
            return Ok(Some(value));
        }
        let found = load().await?;
        if let Some(value) = &found
            && usable
        {
            self.entries.insert(key, (stamp, Arc::clone(value)));
        }
        Ok(found)
    }

    /// The entries of `keys`. Those that memory does not have are loaded together, if there are any.
    pub async fn get_or_load_many<E>(
        &self,
        keys: impl IntoIterator<Item = K>,
        load: impl AsyncFnOnce(Vec<K>) -> Result<Vec<(K, Arc<V>)>, E>,
    ) -> Result<HashMap<K, Arc<V>>, E> {
        let usable = self.listening.load(Ordering::SeqCst);
        let (mut found, mut stamps) = (HashMap::new(), HashMap::new());
        for key in keys {
            let stamp = self.stamp(&key);
            match self.entries.get(&key) {
                Some((made, value))
                    if usable && made == stamp && !freshness::is_from_database() =>
                {
                    found.insert(key, value);
                }
                _ => {
                    stamps.insert(key, stamp);
                }
            }
        }
        if stamps.is_empty() {
            return Ok(found);
        }
        for (key, value) in load(stamps.keys().copied().collect()).await? {
            if let Some(stamp) = stamps.get(&key).filter(|_| usable) {
                self.entries.insert(key, (*stamp, Arc::clone(&value)));
            }
            found.insert(key, value);
        }
        Ok(found)
    }

    fn touch(&self, key: &K) {
        self.shard(key).fetch_add(1, Ordering::SeqCst);
    }

    fn touch_all(&self) {
        self.all.fetch_add(1, Ordering::SeqCst);
    }

    fn stamp(&self, key: &K) -> Stamp {
        (
            self.all.load(Ordering::SeqCst),
            self.shard(key).load(Ordering::SeqCst),
        )
    }

    fn shard(&self, key: &K) -> &AtomicU64 {
        let hash = self.hasher.hash_one(key);
        let index = usize::try_from(hash % self.shards.len() as u64).unwrap_or(0);
        &self.shards[index]
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, fmt::Write as _};

    use super::*;

    async fn read(cache: &Cached<Uuid, u8>, key: Uuid, found: u8) -> u8 {
        let value = cache
            .get_or_load(key, async || Ok::<_, Infallible>(Some(Arc::new(found))))
            .await;
        *value.unwrap().unwrap()
    }

    #[actix_web::test]
    async fn a_change_during_loading_is_not_overtaken_by_the_older_answer() {
        let listening = Arc::new(AtomicBool::new(true));
        let cache = Cached::<Uuid, u8>::new(&listening);
        let key = Uuid::now_v7();
        let load = async || {
            cache.touch(&key);
            Ok::<_, Infallible>(Some(Arc::new(1)))
        };
        cache.get_or_load(key, load).await.unwrap();
        assert_eq!(read(&cache, key, 2).await, 2);
        assert_eq!(read(&cache, key, 3).await, 2, "kept once it is true");
    }

    #[actix_web::test]
    async fn nothing_is_answered_from_memory_while_changes_are_not_heard_of() {
        let listening = Arc::new(AtomicBool::new(true));
        let cache = Cached::<Uuid, u8>::new(&listening);
        let key = Uuid::now_v7();
        assert_eq!(read(&cache, key, 1).await, 1);
        listening.store(false, Ordering::SeqCst);
        assert_eq!(read(&cache, key, 2).await, 2);
    }

    #[test]
    fn payloads_of_triggers_are_understood() {
        let id = Uuid::now_v7();
        assert_eq!(
            Change::parse(&format!("session {id}")),
            Some(Change::Session(id))
        );
        assert_eq!(
            Change::parse(&format!("api_key {id}")),
            Some(Change::ApiKey(id))
        );
        assert_eq!(
            Change::parse(&format!("grants user {id}")),
            Some(Change::Grants(Principal::user(id)))
        );
        assert_eq!(
            Change::parse(&format!("grants group {id}")),
            Some(Change::GroupGrants(id))
        );
        assert_eq!(
            Change::parse(&format!("resource project {id}")),
            Some(Change::Resource(ResourceRef::new(
                ResourceType::Project,
                id
            )))
        );
        let key = crate::access::registered::key("record", "1");
        let hex = key.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        assert_eq!(
            Change::parse(&format!("registered {hex}")),
            Some(Change::Registered(key))
        );
        assert_eq!(Change::parse("registrations"), Some(Change::Registrations));
        for wrong in [
            "",
            "session",
            "registered 12",
            "registrations x",
            "session x",
            "user a b",
            "resource project",
        ] {
            assert_eq!(Change::parse(wrong), None, "{wrong}");
        }
    }
}
