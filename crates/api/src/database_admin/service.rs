//! The use cases. A test opens a connection where an administrator says, so it goes only where the
//! operator allows, looks a name up once, sends the configured password to nobody but the
//! configured server, tells little, is counted, and is written down.

use std::time::Duration;

use chrono::TimeDelta;
use sea_orm::DbErr;
use secrecy::SecretString;
use serde_json::json;

use super::{
    model::{
        ConnectionTest, DatabaseError, DatabaseView, MigrationsView, PoolView, ReadDatabase,
        TestDatabase, TestResult,
    },
    repo,
};
use crate::{
    access::permit::Permit,
    audit::{self, Entry},
    config::TestHost,
    database::{
        check::{self, Pool, Report},
        stats::{self, SlowQueries, Stats},
        tx::{Scope, Tx},
        url::{Address, DatabaseUrl, SslMode},
    },
    login::throttle::{self, Key},
    problem::sqlstate,
    state::AppState,
};

/// Tests of one principal in a minute.
const MOST: u32 = 10;
/// Each step takes so long at most.
const PATIENCE: Duration = Duration::from_secs(3);
/// The whole test takes so long at most, so that the request ends in its time.
const LONGEST: Duration = Duration::from_secs(20);
/// The port of a host that is allowed without one.
const PORT: u16 = 5432;

/// The database of this installation, and what it is doing.
///
/// # Errors
///
/// The database's.
pub async fn show(
    state: &AppState,
    _: &Permit<ReadDatabase>,
) -> Result<DatabaseView, DatabaseError> {
    let tx = Tx::begin(state, &Scope::None).await?;
    let mut view: Stats = repo::document(&*tx, stats::SQL).await?;
    let place: stats::Place = repo::document(&*tx, stats::WHERE_STATEMENTS).await?;
    let encryption = repo::encryption(&*tx).await?;
    let status = migration::status(&*tx).await.map_err(|error| match error {
        migration::MigrateError::Database(source) => source,
        other => DbErr::Custom(other.to_string()),
    })?;
    tx.commit().await?;
    view.slow_queries = match place.schema {
        Some(schema) => slow_queries(state, &schema).await?,
        None => SlowQueries::not_created(),
    };
    let config = &state.config.database;
    Ok(DatabaseView {
        encryption,
        pool: PoolView {
            min_size: config.min_size,
            max_size: config.max_size,
        },
        migrations: MigrationsView {
            applied: status.applied.len(),
            pending: status.pending,
            unknown: status.unknown.into_iter().map(|step| step.name).collect(),
        },
        stats: view,
    })
}

/// In a transaction of its own, which ends when the extension is there and does not answer.
async fn slow_queries(state: &AppState, schema: &str) -> Result<SlowQueries, DbErr> {
    let tx = Tx::begin(state, &Scope::None).await?;
    match repo::document(&*tx, &stats::slow_sql(schema)).await {
        Ok(queries) => {
            tx.commit().await?;
            Ok(SlowQueries::of(queries))
        }
        Err(error) if sqlstate(&error).is_some_and(|code| ["55000", "42501"].contains(&&*code)) => {
            Ok(SlowQueries::not_loaded())
        }
        Err(error) => Err(error),
    }
}

/// Tries a connection.
///
/// # Errors
///
/// See [`DatabaseError`]. That the connection fails is no error but the answer.
pub async fn test(
    state: &AppState,
    permit: &Permit<TestDatabase>,
    wanted: ConnectionTest,
) -> Result<TestResult, DatabaseError> {
    let config = &state.config.database;
    let stored = config.url.as_ref();
    let url = target(&wanted, stored)?;
    let allowed = config.test_allowed_hosts.as_deref();
    if !is_allowed(&url, stored, allowed) {
        return Err(DatabaseError::HostNotAllowed);
    }
    let principal = permit.principal();
    let key = format!(
        "database test {} {}",
        principal.r#type.as_str(),
        principal.id
    );
    throttle::admit(state, &[Key::within(&key, MOST, TimeDelta::minutes(1))])
        .await?
        .map_err(|seconds| DatabaseError::Throttled { seconds })?;
    let target = check::Target {
        url: &url,
        schema: &config.schema,
        patience: PATIENCE,
        pool: Pool {
            size: config.max_size,
            idle_timeout: config.idle_timeout,
        },
        addresses: None,
        clock: &*state.clock,
    };
    let report = match tokio::time::timeout(LONGEST, Box::pin(check::check(&target))).await {
        Ok(report) => report,
        Err(_) => check::too_slow(&url),
    };
    write_down(state, permit, &url, &report).await?;
    Ok(report.into())
}

/// What was asked for, and the configured database for the rest.
fn target(
    wanted: &ConnectionTest,
    stored: Option<&DatabaseUrl>,
) -> Result<DatabaseUrl, DatabaseError> {
    let is_whole = wanted.host.is_none()
        && wanted.port.is_none()
        && wanted.user.is_none()
        && wanted.database.is_none()
        && wanted.password.is_none()
        && wanted.sslmode.is_none();
    if let Some(stored) = stored.filter(|_| is_whole) {
        return Ok(stored.clone());
    }
    let of_stored = |field, get: fn(&DatabaseUrl) -> String| {
        stored.map(get).ok_or(DatabaseError::Missing(field))
    };
    let host = match &wanted.host {
        Some(host) => host.clone(),
        None => of_stored("host", |url| url.host().to_string())?,
    };
    let user = match &wanted.user {
        Some(user) => user.clone(),
        None => of_stored("user", |url| url.user().to_owned())?,
    };
    let database = match &wanted.database {
        Some(database) => database.clone(),
        None => of_stored("database", |url| url.database().to_owned())?,
    };
    let port = wanted
        .port
        .or(stored.map(DatabaseUrl::port))
        .unwrap_or(PORT);
    let mut ssl = stored.map(|url| url.ssl().clone()).unwrap_or_default();
    if let Some(mode) = &wanted.sslmode {
        let mode: SslMode = mode
            .parse()
            .map_err(|fault| DatabaseError::Value("sslmode", fault))?;
        ssl.mode = Some(mode);
    }
    let password = password(wanted, stored, (&host, port, &user, &database));
    DatabaseUrl::from_parts(&host, port, &user, password, &database)
        .and_then(|url| url.with_ssl(ssl))
        .map_err(|fault| DatabaseError::Value("host", fault))
}

/// The given password; else the configured one, if all else is as configured. Another `sslmode`
/// is not: it could lay the password open on its way.
fn password(
    wanted: &ConnectionTest,
    stored: Option<&DatabaseUrl>,
    (host, port, user, database): (&str, u16, &str, &str),
) -> Option<SecretString> {
    if wanted.password.is_some() {
        return wanted.password.clone();
    }
    let stored = stored?;
    let same_mode = match &wanted.sslmode {
        Some(mode) => stored
            .ssl()
            .mode
            .is_some_and(|stored| stored.as_str() == mode),
        None => true,
    };
    let is_same = stored
        .addresses()
        .iter()
        .any(|address| address.host.to_string() == host && address.port == port)
        && stored.user() == user
        && stored.database() == database
        && same_mode;
    stored.password().filter(|_| is_same).cloned()
}

/// Whether the operator lets tests go there: to the hosts that are listed, at the port that is
/// listed, else at PostgreSQL's own; without a list to the configured server.
fn is_allowed(
    url: &DatabaseUrl,
    stored: Option<&DatabaseUrl>,
    allowed: Option<&[TestHost]>,
) -> bool {
    let is_same = |address: &Address, host: &str, port: u16| {
        address.host.to_string().eq_ignore_ascii_case(host) && address.port == port
    };
    url.addresses().iter().all(|address| match allowed {
        Some(allowed) => allowed
            .iter()
            .any(|entry| is_same(address, &entry.host, entry.port.unwrap_or(PORT))),
        None => stored.is_some_and(|stored| {
            let mut all = stored.addresses().iter();
            all.any(|other| is_same(address, &other.host.to_string(), other.port))
        }),
    })
}

async fn write_down(
    state: &AppState,
    permit: &Permit<TestDatabase>,
    url: &DatabaseUrl,
    report: &Report,
) -> Result<(), DbErr> {
    let tx = Tx::begin(state, &Scope::None).await?;
    let place = format!("{}:{}", url.host(), url.port());
    let entry = Entry {
        doer: permit.into(),
        action: "database.tested",
        target: audit::Target::global("database", place.as_str()),
        details: json!({
            "database": url.database(),
            "user": url.user(),
            "status": report.status,
            "code": report.code,
        }),
    };
    audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> DatabaseUrl {
        DatabaseUrl::parse(text).unwrap()
    }

    fn wanted(body: serde_json::Value) -> ConnectionTest {
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn the_configured_password_goes_nowhere_but_to_the_configured_server() {
        let stored = url("postgres://app:pw@db/gp?sslmode=verify-full");
        let has_password = |body| {
            let url = target(&wanted(body), Some(&stored)).unwrap();
            url.password().is_some()
        };
        assert!(has_password(json!({})));
        assert!(has_password(
            json!({"host": "db", "port": 5432, "user": "app", "database": "gp"})
        ));
        assert!(has_password(json!({"sslmode": "verify-full"})));
        for other in [
            json!({"host": "elsewhere"}),
            json!({"port": 5433}),
            json!({"user": "postgres"}),
            json!({"database": "other"}),
            json!({"sslmode": "disable"}),
        ] {
            assert!(!has_password(other.clone()), "{other}");
        }
        assert!(has_password(
            json!({"host": "elsewhere", "password": "own"})
        ));
    }

    #[test]
    fn tests_go_only_where_the_operator_lets_them() {
        let stored = url("postgres://app@db:5433/gp");
        let allowed =
            |text: &str, list: Option<&[TestHost]>| is_allowed(&url(text), Some(&stored), list);
        assert!(allowed("postgres://x@DB:5433/y", None));
        assert!(!allowed("postgres://x@db:22/y", None));
        assert!(!allowed("postgres://x@db2:5433/y", None));
        let entry = |host: &str, port| TestHost {
            host: host.to_owned(),
            port,
        };
        let list = [entry("one", None), entry("two", Some(6432))];
        assert!(allowed("postgres://x@one/y", Some(&list)));
        assert!(!allowed("postgres://x@one:22/y", Some(&list)));
        assert!(allowed("postgres://x@two:6432/y", Some(&list)));
        assert!(!allowed("postgres://x@two/y", Some(&list)));
        assert!(!allowed("postgres://x@db:5433/y", Some(&list)));
    }
}
