//! The schema on a real server.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed, also in the functions that several share"
)]

mod access;
mod activity;
mod audit;
mod cluster;
mod decisions;
mod groups;
mod history;
mod plan;
mod program;
mod resources;
mod rules;

use std::{
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use cluster::Cluster;
use sea_orm_migration::sea_orm::DatabaseConnection;
use sqlx::{
    AssertSqlSafe, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// Steps back that may throw data away, tried once.
const RASH: migration::How = migration::How {
    patience: std::time::Duration::ZERO,
    lose_data: true,
};
/// One server for the tests that run at the same time; the last of them stops it.
static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
static DATABASES: AtomicUsize = AtomicUsize::new(0);

/// An own database on the shared server, owned by `owner_<n>`, with a role `api_<n>` beside.
struct Database {
    server: Arc<Cluster>,
    name: String,
    owner: String,
    api: String,
}

impl Database {
    /// An empty one.
    fn empty() -> Self {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let server = shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Cluster::start());
            *shared = Arc::downgrade(&server);
            server
        });
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let [name, owner, api] = ["test", "owner", "api"].map(|word| format!("{word}_{number}"));
        server.psql(
            "postgres",
            &format!("CREATE ROLE {owner} LOGIN; CREATE ROLE {api} LOGIN"),
        );
        server.psql("postgres", &format!("CREATE DATABASE {name} OWNER {owner}"));
        Self {
            server,
            name,
            owner,
            api,
        }
    }

    /// One with the newest schema, and the API's role with its rights.
    async fn migrated() -> Self {
        let database = Self::empty();
        let db = database.connect("auth").await;
        migration::up(&db, "auth").await.unwrap();
        migration::grant_api_role(&db, &database.api).await.unwrap();
        database
    }

    /// The owner's URL.
    fn url(&self) -> String {
        self.server.url(&self.owner, &self.name)
    }

    /// As the migrating program connects.
    async fn connect(&self, schema: &str) -> DatabaseConnection {
        migration::connect(self.options(&self.owner, schema))
            .await
            .unwrap()
    }

    fn options(&self, role: &str, schema: &str) -> PgConnectOptions {
        PgConnectOptions::from_str(&self.server.url(role, &self.name))
            .unwrap()
            .options([("search_path", schema)])
    }

    /// A few connections of the owner.
    fn as_owner(&self) -> PgPool {
        PgPoolOptions::new().connect_lazy_with(self.options(&self.owner, "auth"))
    }

    /// A few connections of the API's role.
    fn as_api(&self) -> PgPool {
        PgPoolOptions::new().connect_lazy_with(self.options(&self.api, "auth"))
    }
}

/// A transaction that sees every tenant.
async fn system(pool: &PgPool) -> sqlx::PgTransaction<'static> {
    scoped(pool, &[("app.scope", "system")]).await
}

/// A transaction with these settings.
async fn scoped(pool: &PgPool, settings: &[(&str, &str)]) -> sqlx::PgTransaction<'static> {
    let mut transaction = pool.begin().await.unwrap();
    for (name, value) in settings {
        sqlx::query("SELECT set_config($1, $2, true)")
            .bind(name)
            .bind(value)
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    transaction
}

/// Runs SQL that must succeed, and returns how many rows it touched.
async fn run(transaction: &mut sqlx::PgTransaction<'static>, sql: &str) -> u64 {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut **transaction)
        .await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"))
        .rows_affected()
}

/// Runs SQL that must fail, and returns its SQLSTATE.
async fn refused(transaction: &mut sqlx::PgTransaction<'static>, sql: &str) -> String {
    let error = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut **transaction)
        .await
        .expect_err(sql);
    code(&error)
}

/// The SQLSTATE of an error.
fn code(error: &sqlx::Error) -> String {
    let error = error.as_database_error().expect("an answer of the server");
    error.code().unwrap().into_owned()
}

/// Counts rows.
async fn count(transaction: &mut sqlx::PgTransaction<'static>, from: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {from}")))
        .fetch_one(&mut **transaction)
        .await
        .unwrap()
}

/// The id that ends in this number.
fn id(number: u32) -> String {
    format!("00000000-0000-7000-8000-{number:012}")
}

/// Two organizations (1, 2), an account (11, 21) and a project (111, 211) in each, three active
/// users (901 to 903), the built-in roles `owner` (801) and `viewer` (802), a role `clerk` of
/// organization 1 (803); user 901 owns organization 1, user 902 owns organization 2.
async fn fill(database: &Database) {
    let mut transaction = system(&database.as_owner()).await;
    for user in [901, 902, 903] {
        run(
            &mut transaction,
            &format!(
                "INSERT INTO users (id, email, email_normalized, status, created_at, updated_at)
             VALUES ('{}', 'u{user}@example.com', 'u{user}@example.com', 'active', now(), now())",
                id(user)
            ),
        )
        .await;
    }
    for org in [1, 2] {
        let [o, a, p] = [org, org * 10 + 1, org * 100 + 11].map(id);
        run(&mut transaction, &format!(
            "INSERT INTO organizations (id, name, name_normalized, slug, created_at, updated_at)
                 VALUES ('{o}', 'O{org}', 'o{org}', 'o{org}', now(), now());
             INSERT INTO accounts (id, organization_id, name, name_normalized, created_at, updated_at)
                 VALUES ('{a}', '{o}', 'A', 'a', now(), now());
             INSERT INTO projects (id, organization_id, account_id, owner_id, name, name_normalized,
                 created_at, updated_at)
                 VALUES ('{p}', '{o}', '{a}', '{}', 'P', 'p', now(), now())", id(903))).await;
    }
    for (role, org, key) in [
        (801, None, "owner"),
        (802, None, "viewer"),
        (803, Some(1), "clerk"),
    ] {
        let org = org.map_or("NULL".to_owned(), |org| format!("'{}'", id(org)));
        run(
            &mut transaction,
            &format!(
                "INSERT INTO roles (id, organization_id, key, name, permissions, assignable_at,
                 created_at, updated_at)
             VALUES ('{}', {org}, '{key}', '{key}', '{{project:read}}', '{{organization,project}}',
                 now(), now())",
                id(role)
            ),
        )
        .await;
    }
    run(
        &mut transaction,
        &grant(701, 901, 801, "organization", 1, 1),
    )
    .await;
    run(
        &mut transaction,
        &grant(702, 902, 801, "organization", 2, 2),
    )
    .await;
    transaction.commit().await.unwrap();
}

/// The SQL that gives a user a role on a resource of an organization.
fn grant(number: u32, user: u32, role: u32, kind: &str, resource: u32, org: u32) -> String {
    format!(
        "INSERT INTO user_role_assignments (id, principal_type, user_id, role_id, resource_type,
             resource_id, organization_id, created_at)
         VALUES ('{}', 'user', '{}', '{}', '{kind}', '{}', '{}', now())",
        id(number),
        id(user),
        id(role),
        id(resource),
        id(org)
    )
}
