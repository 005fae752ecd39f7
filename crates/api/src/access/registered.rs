//! What applications have registered: things of their own types, and where they stand.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use aws_lc_rs::digest::{SHA256, digest};
use entity::user_role_assignment;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, FromQueryResult, Statement};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::resource::{Located, ResourceRef, ResourceType};
use crate::{
    database::tx::{Scope, Tx},
    policy::{Place, TYPES},
    state::AppState,
};

/// Characters of an id that an application gives.
pub const LONGEST_ID: usize = 256;

/// SHA-256 of type and id, by which registrations are remembered and notified.
pub type Key = [u8; 32];

/// The key of `id` among the things of type `kind`. No type has the character between them.
pub fn key(kind: &str, id: &str) -> Key {
    let text = format!("{kind}\u{1f}{id}");
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    key
}

/// Whether things of this type can be registered: `[a-z][a-z0-9_-]{0,62}`, none of ours.
pub fn is_type(kind: &str) -> bool {
    (1..=63).contains(&kind.len())
        && kind.starts_with(|first: char| first.is_ascii_lowercase())
        && kind
            .chars()
            .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-'))
        && !TYPES.contains(&kind)
}

/// Whether an application can call a thing so.
pub fn is_id(id: &str) -> bool {
    !id.is_empty() && id.chars().count() <= LONGEST_ID && !id.contains('\0')
}

/// What of applications' a question is about, and what of theirs stands above it. Nothing, for one
/// about something of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Below {
    /// From right below something of ours down to the thing itself.
    pub places: Vec<Place>,
    /// Our ids of those of them that are registered, from the topmost on: of all, or of all but the
    /// thing itself.
    pub ids: Vec<Uuid>,
}

impl Below {
    /// Something that is not registered, below this.
    pub fn push(&mut self, place: Place) {
        self.places.push(place);
    }
}

/// A thing that was registered.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Our id of it.
    pub id: Uuid,
    /// Its type.
    pub kind: String,
    /// What the application calls it.
    pub external_id: String,
    /// What of ours it stands below.
    pub base: Arc<Located>,
    /// From right below that down to the thing itself.
    pub below: Below,
    /// What the application says of it.
    pub properties: Map<String, Value>,
    /// Counts changes.
    pub version: i64,
}

impl Registered {
    /// What it stands right below.
    pub fn parent(&self) -> Place {
        match self.below.places.iter().rev().nth(1) {
            Some(above) => above.clone(),
            None => Place::from(&self.base.resource),
        }
    }

    /// What roles that are held on it name.
    pub fn resource(&self) -> ResourceRef {
        ResourceRef::new(ResourceType::Registered, self.id)
    }
}

/// Something that roles are held on.
#[derive(Clone, Debug)]
pub enum Spot {
    /// Something of ours.
    Ours(ResourceRef),
    /// Something that an application registered.
    Registered(Arc<Registered>),
}

impl Spot {
    /// As the database names it.
    pub fn resource(&self) -> ResourceRef {
        match self {
            Self::Ours(resource) => *resource,
            Self::Registered(known) => known.resource(),
        }
    }

    /// As policies and people name it.
    pub fn place(&self) -> Place {
        match self {
            Self::Ours(resource) => Place::from(resource),
            Self::Registered(known) => Place::new(known.kind.as_str(), known.external_id.as_str()),
        }
    }

    /// What a row names; nothing if that is gone, or of a kind that this program does not know.
    pub async fn stored(
        state: &AppState,
        kind: &str,
        id: Option<Uuid>,
    ) -> Result<Option<Self>, DbErr> {
        let tx = Tx::begin(state, &Scope::System).await?;
        let spot = Self::stored_in(&*tx, kind, id).await?;
        tx.commit().await?;
        Ok(spot)
    }

    /// Like [`Spot::stored`], in a transaction that sees the rows of all tenants.
    pub async fn stored_in(
        txn: &impl ConnectionTrait,
        kind: &str,
        id: Option<Uuid>,
    ) -> Result<Option<Self>, DbErr> {
        Ok(match (ResourceType::stored(kind), id) {
            (Some(ResourceType::Registered), Some(id)) => {
                let sql = format!("SELECT {COLUMNS} FROM resources r WHERE r.id = $1");
                let known = read(txn, sql, vec![id.into()]).await?;
                known.map(|known| Self::Registered(Arc::new(known)))
            }
            (Some(kind), id) => Some(Self::Ours(ResourceRef { kind, id })),
            (None, _) => None,
        })
    }
}

impl From<ResourceRef> for Spot {
    fn from(resource: ResourceRef) -> Self {
        Self::Ours(resource)
    }
}

impl From<Arc<Registered>> for Spot {
    fn from(known: Arc<Registered>) -> Self {
        Self::Registered(known)
    }
}

/// What is known of a type and an id: also that nothing is registered by them.
#[derive(Clone, Debug)]
pub struct Registration(pub Option<Arc<Registered>>);

/// The columns that [`Row`] reads, of `resources r`.
pub const COLUMNS: &str = "r.id, r.type AS kind, r.external_id, r.organization_id, r.account_id, \
     r.project_id, r.ancestors, r.properties, r.version, \
     ARRAY(SELECT a.type::text FROM unnest(r.ancestors) WITH ORDINALITY AS o (id, place) \
           JOIN resources a ON a.id = o.id ORDER BY o.place) AS types, \
     ARRAY(SELECT a.external_id::text FROM unnest(r.ancestors) WITH ORDINALITY AS o (id, place) \
           JOIN resources a ON a.id = o.id ORDER BY o.place) AS ids";

/// A row of `resources` with the names of what stands above it.
#[derive(FromQueryResult)]
pub struct Row {
    id: Uuid,
    kind: String,
    external_id: String,
    organization_id: Uuid,
    account_id: Option<Uuid>,
    project_id: Option<Uuid>,
    ancestors: Vec<Uuid>,
    properties: Value,
    version: i64,
    types: Vec<String>,
    ids: Vec<String>,
}

impl From<Row> for Registered {
    fn from(row: Row) -> Self {
        let ours = [
            (ResourceType::Organization, Some(row.organization_id)),
            (ResourceType::Account, row.account_id),
            (ResourceType::Project, row.project_id),
        ];
        let mut path = vec![ResourceRef::SYSTEM];
        path.extend(
            ours.into_iter()
                .filter_map(|(kind, id)| Some(ResourceRef::new(kind, id?))),
        );
        let mut places: Vec<Place> = row
            .types
            .into_iter()
            .zip(row.ids)
            .map(|(kind, id)| Place::new(kind, id))
            .collect();
        places.push(Place::new(row.kind.as_str(), row.external_id.as_str()));
        let mut ids = row.ancestors;
        ids.push(row.id);
        let resource = path.last().copied().unwrap_or(ResourceRef::SYSTEM);
        let located = Located {
            resource,
            path: path.into(),
            owner_id: None,
        };
        let properties = match row.properties {
            Value::Object(properties) => properties,
            _ => Map::new(),
        };
        Self {
            id: row.id,
            kind: row.kind,
            external_id: row.external_id,
            base: Arc::new(located),
            below: Below { places, ids },
            properties,
            version: row.version,
        }
    }
}

/// The thing that is registered as `id` of type `kind`.
///
/// Answered from memory where that is known to be true, also that there is none.
pub async fn find(
    state: &AppState,
    kind: &str,
    id: &str,
) -> Result<Option<Arc<Registered>>, DbErr> {
    let mut found = find_many(state, &[(kind, id)]).await?;
    Ok(found.pop().flatten())
}

/// The types of which anything is registered. Whoever registers nothing of a type can ask about any
/// number of things of it without one question to the database.
async fn types(state: &AppState) -> Result<Arc<HashSet<String>>, DbErr> {
    let load = async || {
        let tx = Tx::begin(state, &Scope::System).await?;
        let statement = Statement::from_string(tx.get_database_backend(), TYPES_IN_USE);
        let rows = tx.query_all_raw(statement).await?;
        tx.commit().await?;
        let types = rows.iter().map(|row| row.try_get_by_index(0));
        Ok::<_, DbErr>(Some(Arc::new(types.collect::<Result<_, _>>()?)))
    };
    let known = state.cache.registered_types.get_or_load((), load).await?;
    Ok(known.unwrap_or_default())
}

/// From each type to the next one in the index, however many things there are of it.
const TYPES_IN_USE: &str = "WITH RECURSIVE used AS ( \
         (SELECT type FROM resources ORDER BY type LIMIT 1) \
         UNION ALL \
         SELECT (SELECT r.type FROM resources r WHERE r.type > u.type ORDER BY r.type LIMIT 1) \
         FROM used u WHERE u.type IS NOT NULL) \
     SELECT type FROM used WHERE type IS NOT NULL";

/// The things that are registered by these types and ids, where there are; by one query.
pub async fn find_many(
    state: &AppState,
    names: &[(&str, &str)],
) -> Result<Vec<Option<Arc<Registered>>>, DbErr> {
    let types = types(state).await?;
    let keys: Vec<_> = names
        .iter()
        .map(|(kind, id)| (types.contains(*kind) && is_id(id)).then(|| key(kind, id)))
        .collect();
    let known = state.cache.registrations.get_or_load_many(
        keys.iter().flatten().copied(),
        async |missing| {
            let missing: HashSet<_> = missing.into_iter().collect();
            let asked = keys.iter().zip(names).filter_map(|(key, name)| {
                let key = key.filter(|key| missing.contains(key))?;
                Some((key, *name))
            });
            let mut asked: HashMap<Key, _> = asked.collect();
            let names: Vec<_> = asked.values().copied().collect();
            let mut found = Vec::new();
            for thing in look_up(state, &names).await? {
                let key = key(&thing.kind, &thing.external_id);
                asked.remove(&key);
                found.push((key, Arc::new(Registration(Some(Arc::new(thing))))));
            }
            let absent = |key| (key, Arc::new(Registration(None)));
            found.extend(asked.into_keys().map(absent));
            Ok::<_, DbErr>(found)
        },
    );
    let known = known.await?;
    let of = |key: Key| known.get(&key)?.0.clone();
    Ok(keys.into_iter().map(|key| key.and_then(of)).collect())
}

async fn look_up(state: &AppState, names: &[(&str, &str)]) -> Result<Vec<Registered>, DbErr> {
    let sql = format!(
        "SELECT {COLUMNS} FROM resources r \
         JOIN unnest($1::text[], $2::text[]) AS asked (type, id) \
              ON r.type = asked.type AND r.external_id = asked.id"
    );
    let (kinds, ids): (Vec<String>, Vec<String>) = names
        .iter()
        .map(|(kind, id)| ((*kind).to_owned(), (*id).to_owned()))
        .unzip();
    let tx = Tx::begin(state, &Scope::System).await?;
    let values = [kinds.into(), ids.into()];
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let rows = Row::find_by_statement(statement).all(&*tx).await?;
    tx.commit().await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// What the role assignment with this id is on, or nothing if there is no such assignment.
pub async fn of_assignment(state: &AppState, id: Uuid) -> Result<Option<Spot>, DbErr> {
    let tx = Tx::begin(state, &Scope::System).await?;
    let row = user_role_assignment::Entity::find_by_id(id)
        .one(&*tx)
        .await?;
    let spot = match row {
        Some(row) => Spot::stored_in(&*tx, &row.resource_type, row.resource_id).await?,
        None => None,
    };
    tx.commit().await?;
    Ok(spot)
}

async fn read(
    txn: &impl ConnectionTrait,
    sql: String,
    values: Vec<sea_orm::Value>,
) -> Result<Option<Registered>, DbErr> {
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let row = Row::find_by_statement(statement).one(txn).await?;
    Ok(row.map(Into::into))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn types_of_ours_and_what_is_no_name_cannot_be_registered() {
        for good in ["record", "a", "to-do_1", &"x".repeat(63)] {
            assert!(is_type(good), "{good}");
        }
        for bad in [
            "",
            "project",
            "user",
            "Record",
            "1a",
            "a:b",
            "a b",
            "*",
            &"x".repeat(64),
        ] {
            assert!(!is_type(bad), "{bad}");
        }
        assert!(is_id(&"ü".repeat(256)) && !is_id(&"u".repeat(257)) && !is_id("") && !is_id("\0"));
    }

    #[test]
    fn a_key_is_the_hash_that_the_trigger_makes() {
        // printf 'record\037r1' | sha256sum
        let hex = key("record", "r1")
            .iter()
            .fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
        assert_eq!(
            hex,
            "546c09d76a6769566a2407ca546bbccfa087b7ab26855efad546367a31991491"
        );
        assert_ne!(key("a", "b"), key("ab", ""));
    }
}
