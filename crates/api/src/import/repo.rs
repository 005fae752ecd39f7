//! Queries of the import.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, SecondsFormat, Utc};
use entity::{account, organization, project, role, user_role_assignment};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, Statement,
    Value,
};
use serde_json::json;
use uuid::Uuid;

use super::{person::Person, place::Place, report::Kind};
use crate::{access::resource::ResourceType, crypto::password::Format, http::text::Slug};

/// Users that are here, as far as some that come might be the same.
#[derive(Default)]
pub(super) struct Users {
    /// Their addresses.
    pub(super) ids: HashMap<Uuid, String>,
    /// Whose an address is, and whether it is proven.
    pub(super) emails: HashMap<String, (Uuid, bool)>,
    /// The usernames that are taken.
    pub(super) usernames: HashSet<String>,
}

/// The users that have one of these ids, addresses or usernames, the latter in normal form.
pub(super) async fn users(
    db: &impl ConnectionTrait,
    ids: Vec<Uuid>,
    emails: Vec<String>,
    usernames: Vec<String>,
) -> Result<Users, DbErr> {
    let columns =
        "id, email_normalized, username_normalized, email_verified_at IS NOT NULL AS proven";
    let sql = format!(
        "SELECT {columns} FROM users WHERE id = ANY ($1)
        UNION ALL SELECT {columns} FROM users WHERE email_normalized = ANY ($2)
        UNION ALL SELECT {columns} FROM users WHERE username_normalized = ANY ($3)"
    );
    let values: [Value; 3] = [ids.into(), emails.into(), usernames.into()];
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let mut found = Users::default();
    for row in db.query_all_raw(statement).await? {
        let id: Uuid = row.try_get("", "id")?;
        let email: String = row.try_get("", "email_normalized")?;
        let username: Option<String> = row.try_get("", "username_normalized")?;
        found.ids.insert(id, email.clone());
        found.emails.insert(email, (id, row.try_get("", "proven")?));
        found.usernames.extend(username);
    }
    Ok(found)
}

/// Arrays stand for rows, and an empty text for nothing: one statement with one plan, however many
/// they are.
const INSERT_USERS: &str =
    "INSERT INTO users (id, email, email_normalized, username, username_normalized,
        password_hash, password_must_change, password_changed_at, display_name,
        profile_picture_url, locale, metadata, attributes, status, email_verified_at,
        approved_at, last_login_at, created_at, updated_at, version)
    SELECT id, email, email_normalized, NULLIF(username, ''), NULLIF(username_normalized, ''),
        NULLIF(hash, ''), must_change, CASE WHEN hash <> '' THEN $16 END,
        NULLIF(display_name, ''), NULLIF(picture, ''), NULLIF(locale, ''), metadata::jsonb,
        attributes::jsonb, status, CASE WHEN proven THEN $16 END,
        CASE WHEN status = 'active' THEN $16 END, NULLIF(last_login_at, '')::timestamptz,
        created_at, $16, 1
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::bool[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[],
        $13::text[], $14::bool[], $15::timestamptz[], $17::text[])
        AS row (id, email, email_normalized, username, username_normalized, hash, must_change,
            display_name, picture, locale, metadata, attributes, status, proven, created_at,
            last_login_at)";

/// Adds users.
pub(super) async fn insert_users(
    db: &impl ConnectionTrait,
    users: &[(Uuid, Person)],
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let texts = |get: fn(&Person) -> String| -> Value {
        let all: Vec<String> = users.iter().map(|(_, person)| get(person)).collect();
        all.into()
    };
    let flags = |get: fn(&Person) -> bool| -> Value {
        let all: Vec<bool> = users.iter().map(|(_, person)| get(person)).collect();
        all.into()
    };
    let ids: Vec<Uuid> = users.iter().map(|(id, _)| *id).collect();
    let created: Vec<DateTime<Utc>> = users
        .iter()
        .map(|(_, person)| person.created_at.unwrap_or(now))
        .collect();
    let values = [
        ids.into(),
        texts(|person| person.email.clone()),
        texts(|person| person.email_normalized.clone()),
        texts(|person| person.username.clone().unwrap_or_default()),
        texts(|person| person.username_normalized().unwrap_or_default()),
        texts(|person| {
            person
                .password
                .as_ref()
                .map(Format::to_text)
                .unwrap_or_default()
        }),
        flags(|person| person.password_must_change),
        texts(|person| person.display_name.clone().unwrap_or_default()),
        texts(|person| person.profile_picture_url.clone().unwrap_or_default()),
        texts(|person| person.locale.clone().unwrap_or_default()),
        texts(|person| person.metadata.to_string()),
        texts(|person| person.attributes.to_string()),
        texts(|person| person.status.as_str().to_owned()),
        flags(|person| person.email_verified),
        created.into(),
        now.into(),
        texts(|person| person.last_login_at.map(text_of).unwrap_or_default()),
    ];
    let statement = Statement::from_sql_and_values(db.get_database_backend(), INSERT_USERS, values);
    db.execute_raw(statement).await?;
    Ok(())
}

fn text_of(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Organizations, accounts or projects that are here.
#[derive(Default)]
pub(super) struct Places {
    /// By id: what they are in, and their name in normal form.
    pub(super) by_id: HashMap<Uuid, (Option<Uuid>, String)>,
    /// By what they are in, and name.
    pub(super) by_name: HashMap<(Option<Uuid>, String), Uuid>,
    /// Slugs of organizations.
    pub(super) slugs: HashSet<String>,
}

/// Those that have one of these ids or (in what they are in) names, or one of the slugs; names in
/// normal form.
pub(super) async fn places(
    db: &impl ConnectionTrait,
    kind: Kind,
    things: &[&Place],
    slugs: Vec<String>,
) -> Result<Places, DbErr> {
    let sql = match kind {
        Kind::Organizations => {
            "SELECT id, NULL::uuid AS parent, name_normalized, slug FROM organizations
             WHERE id = ANY ($1) OR name_normalized = ANY ($2) OR slug = ANY ($3)"
        }
        Kind::Accounts => {
            "SELECT id, organization_id AS parent, name_normalized, NULL AS slug FROM accounts
             WHERE id = ANY ($1) OR organization_id = ANY ($3) AND name_normalized = ANY ($2)"
        }
        _ => {
            "SELECT id, account_id AS parent, name_normalized, NULL AS slug FROM projects
             WHERE id = ANY ($1) OR account_id = ANY ($3) AND name_normalized = ANY ($2)"
        }
    };
    let ids: Vec<Uuid> = things.iter().map(|thing| thing.id.id).collect();
    let names: Vec<String> = things
        .iter()
        .map(|thing| thing.name_normalized.clone())
        .collect();
    let parents: Vec<Uuid> = things
        .iter()
        .filter_map(|thing| Some(thing.parent?.id))
        .collect();
    let third: Value = match kind {
        Kind::Organizations => slugs.into(),
        _ => parents.into(),
    };
    let values: [Value; 3] = [ids.into(), names.into(), third];
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let mut found = Places::default();
    for row in db.query_all_raw(statement).await? {
        let id: Uuid = row.try_get("", "id")?;
        let parent: Option<Uuid> = row.try_get("", "parent")?;
        let name: String = row.try_get("", "name_normalized")?;
        found.by_id.insert(id, (parent, name.clone()));
        found.by_name.insert((parent, name), id);
        found
            .slugs
            .extend(row.try_get::<Option<String>>("", "slug")?);
    }
    Ok(found)
}

/// An organization, an account or a project that is written.
pub(super) struct NewPlace {
    pub(super) place: Place,
    /// The organization it belongs to.
    pub(super) organization_id: Uuid,
    /// What an organization is called in URLs.
    pub(super) slug: Option<Slug>,
    /// The user it belongs to.
    pub(super) owner_id: Option<Uuid>,
}

/// Adds organizations, accounts or projects.
pub(super) async fn insert_places(
    db: &impl ConnectionTrait,
    kind: Kind,
    places: &[&NewPlace],
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    match kind {
        Kind::Organizations => {
            let rows = places.iter().map(|new| organization_row(new, now));
            organization::Entity::insert_many(rows)
                .exec_without_returning(db)
                .await?;
        }
        Kind::Accounts => {
            let rows = places.iter().map(|new| account_row(new, now));
            account::Entity::insert_many(rows)
                .exec_without_returning(db)
                .await?;
        }
        _ => {
            let rows = places.iter().map(|new| project_row(new, now));
            project::Entity::insert_many(rows)
                .exec_without_returning(db)
                .await?;
        }
    }
    Ok(())
}

fn organization_row(new: &NewPlace, now: DateTime<Utc>) -> organization::ActiveModel {
    organization::ActiveModel {
        id: Set(new.place.id.id),
        name: Set(new.place.name.clone()),
        name_normalized: Set(new.place.name_normalized.clone()),
        slug: Set(new
            .slug
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()),
        settings: Set(json!({})),
        created_at: Set(new.place.created_at.unwrap_or(now)),
        updated_at: Set(now),
        version: Set(1),
    }
}

fn account_row(new: &NewPlace, now: DateTime<Utc>) -> account::ActiveModel {
    account::ActiveModel {
        id: Set(new.place.id.id),
        organization_id: Set(new.organization_id),
        name: Set(new.place.name.clone()),
        name_normalized: Set(new.place.name_normalized.clone()),
        created_at: Set(new.place.created_at.unwrap_or(now)),
        updated_at: Set(now),
        version: Set(1),
    }
}

fn project_row(new: &NewPlace, now: DateTime<Utc>) -> project::ActiveModel {
    project::ActiveModel {
        id: Set(new.place.id.id),
        organization_id: Set(new.organization_id),
        account_id: Set(new.place.parent.map(|parent| parent.id).unwrap_or_default()),
        owner_id: Set(new.owner_id),
        name: Set(new.place.name.clone()),
        name_normalized: Set(new.place.name_normalized.clone()),
        created_at: Set(new.place.created_at.unwrap_or(now)),
        updated_at: Set(now),
        version: Set(1),
    }
}

/// The built-in roles.
pub(super) async fn built_in_roles(db: &impl ConnectionTrait) -> Result<Vec<role::Model>, DbErr> {
    role::Entity::find()
        .filter(role::Column::OrganizationId.is_null())
        .all(db)
        .await
}

/// Who holds which role on what.
pub(super) type Held = (Uuid, Uuid, Option<Uuid>);

/// What these users hold.
pub(super) async fn held(
    db: &impl ConnectionTrait,
    users: Vec<Uuid>,
) -> Result<HashSet<Held>, DbErr> {
    let rows = user_role_assignment::Entity::find()
        .filter(user_role_assignment::Column::UserId.eq_any(users))
        .all(db)
        .await?;
    let held = rows
        .into_iter()
        .filter_map(|row| Some((row.user_id?, row.role_id, row.resource_id)));
    Ok(held.collect())
}

/// A role assignment that is written.
pub(super) struct NewAssignment {
    pub(super) id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) role_id: Uuid,
    pub(super) role: String,
    pub(super) resource_type: ResourceType,
    pub(super) resource_id: Option<Uuid>,
    pub(super) organization_id: Option<Uuid>,
    pub(super) reason: Option<String>,
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) created_at: DateTime<Utc>,
}

/// Adds role assignments.
pub(super) async fn insert_assignments(
    db: &impl ConnectionTrait,
    assignments: &[&NewAssignment],
) -> Result<(), DbErr> {
    let rows = assignments
        .iter()
        .map(|new| user_role_assignment::ActiveModel {
            id: Set(new.id),
            principal_type: Set("user".to_owned()),
            user_id: Set(Some(new.user_id)),
            service_account_id: Set(None),
            group_id: Set(None),
            role_id: Set(new.role_id),
            resource_type: Set(new.resource_type.as_str().to_owned()),
            resource_id: Set(new.resource_id),
            organization_id: Set(new.organization_id),
            granted_by: Set(None),
            reason: Set(new.reason.clone()),
            expires_at: Set(new.expires_at),
            created_at: Set(new.created_at),
        });
    user_role_assignment::Entity::insert_many(rows)
        .exec_without_returning(db)
        .await?;
    Ok(())
}
