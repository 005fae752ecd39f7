//! Doing it.

use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use tokio::time::timeout;

use super::{
    Login, Names, SetupError,
    model::FileFault,
    prepare,
    sql::{self, Place, Step},
    verifiers,
};
use crate::database::url::DatabaseUrl;

/// The oldest server, as `server_version_num`.
const OLDEST: i32 = 140_000;

/// What was done.
#[derive(Debug, Default)]
pub struct Report {
    /// What was made, in words.
    pub made: Vec<String>,
    /// The files that were written.
    pub written: Vec<PathBuf>,
    /// What is not as it should be, and only someone else can change.
    pub warnings: Vec<String>,
}

/// Makes what is missing, writes the URLs of both roles into `folder`, and logs in by them.
///
/// `rotate` gives both roles new passwords.
///
/// # Errors
///
/// See [`SetupError`]. What was made before stays; the next run goes on from there.
pub async fn apply(
    admin: &DatabaseUrl,
    names: &Names,
    folder: &Path,
    rotate: bool,
) -> Result<Report, SetupError> {
    if names.owner == names.api {
        return Err(SetupError::OneRole);
    }
    let mut server = connect(admin).await?;
    // One after the other: the second finds all done.
    server
        .execute("SELECT pg_advisory_lock(hashtextextended('gatepost_setup', 0))")
        .await?;
    let facts = Facts::ask(&mut server, names).await?;
    facts.refuse(admin, names)?;
    let [owner, api] = prepare(admin, names, folder, rotate)?;
    for (login, exists) in [(&owner, facts.owner_exists), (&api, facts.api_exists)] {
        if exists && !login.kept && !rotate {
            return Err(SetupError::PasswordUnknown {
                role: login.role.clone(),
                file: login.file.clone(),
            });
        }
    }
    let mut report = Report::default();
    stage(&[&owner, &api], rotate, &mut report)?;
    let steps = sql::steps(names, &verifiers(&owner, &api), rotate);
    let (first, second): (Vec<_>, Vec<_>) =
        steps.iter().partition(|step| step.place == Place::Server);
    // A rotation sets both passwords or neither; a database cannot be made in a transaction.
    let (roles, rest): (Vec<_>, Vec<_>) = first
        .into_iter()
        .partition(|step| step.statement.contains(" ROLE "));
    server.execute("BEGIN").await?;
    run(&mut server, &roles, &mut report).await?;
    server.execute("COMMIT").await?;
    if rotate {
        for login in [&owner, &api] {
            std::fs::rename(staged(&login.file), &login.file)
                .map_err(|error| SetupError::file(&login.file, FileFault::Io(error)))?;
        }
    }
    run(&mut server, &rest, &mut report).await?;
    let mut database = connect(&admin.to_database(&names.database)).await?;
    run(&mut database, &second, &mut report).await?;
    database.close().await?;
    server.close().await?;
    for login in [&owner, &api] {
        let mut connection = connect(&login.url)
            .await
            .map_err(|source| SetupError::Login {
                role: login.role.clone(),
                file: login.file.clone(),
                source: Box::new(source),
            })?;
        if login.role == names.api {
            warn(&mut connection, names, &mut report).await?;
        }
        connection.close().await?;
    }
    Ok(report)
}

/// Puts new passwords on disk before any role has them. Those of a rotation wait beside the old
/// ones until the server has taken them.
fn stage(logins: &[&Login], rotate: bool, report: &mut Report) -> Result<(), SetupError> {
    for login in logins.iter().filter(|login| !login.kept) {
        if rotate {
            login.write(&staged(&login.file))?;
        } else {
            login.write(&login.file)?;
        }
        report.written.push(login.file.clone());
    }
    Ok(())
}

fn staged(file: &Path) -> PathBuf {
    file.with_extension("new")
}

async fn connect(url: &DatabaseUrl) -> Result<PgConnection, SetupError> {
    let limit = url.connect_timeout();
    let place = url.place();
    let options = url.to_connect_options(false);
    match timeout(limit, PgConnection::connect_with(&options)).await {
        Ok(connection) => connection.map_err(|source| SetupError::Connect {
            role: url.user().to_owned(),
            place,
            source,
        }),
        Err(_) => Err(SetupError::Silent {
            place,
            seconds: limit.as_secs(),
        }),
    }
}

async fn run(
    connection: &mut PgConnection,
    steps: &[&Step],
    report: &mut Report,
) -> Result<(), SetupError> {
    for step in steps {
        // The names are plain, and a verifier is base64.
        let condition = AssertSqlSafe(format!("SELECT {}", step.when));
        if !sqlx::query_scalar::<_, bool>(condition)
            .fetch_one(&mut *connection)
            .await?
        {
            continue;
        }
        connection
            .execute(sqlx::raw_sql(AssertSqlSafe(step.statement.clone())))
            .await
            .map_err(|source| SetupError::Statement {
                what: if step.told.is_empty() {
                    "connection the owner's".to_owned()
                } else {
                    step.told.clone()
                },
                source,
            })?;
        if !step.told.is_empty() {
            report.made.push(step.told.clone());
        }
    }
    Ok(())
}

/// What is there, and what the administrator may do.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is the answer to a question of its own"
)]
struct Facts {
    version: i32,
    version_text: String,
    read_only: bool,
    makes_roles: bool,
    makes_databases: bool,
    owner_exists: bool,
    api_exists: bool,
    api_attribute: Option<String>,
    database_exists: bool,
}

impl Facts {
    async fn ask(connection: &mut PgConnection, names: &Names) -> Result<Self, sqlx::Error> {
        let row = sqlx::query(
            "SELECT current_setting('server_version_num')::int AS version,
                current_setting('server_version') AS version_text,
                pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS read_only,
                me.rolsuper OR me.rolcreaterole AS makes_roles,
                me.rolsuper OR me.rolcreatedb AS makes_databases,
                EXISTS (SELECT FROM pg_roles WHERE rolname = $1) AS owner_exists,
                EXISTS (SELECT FROM pg_roles WHERE rolname = $2) AS api_exists,
                (SELECT CASE WHEN rolsuper THEN 'super' WHEN rolbypassrls THEN 'bypass'
                    WHEN rolcreaterole THEN 'roles' WHEN pg_has_role(oid, owner, 'MEMBER')
                    THEN 'member' END
                 FROM pg_roles LEFT JOIN LATERAL
                    (SELECT oid AS owner FROM pg_roles WHERE rolname = $1) AS owners ON true
                 WHERE rolname = $2) AS api_attribute,
                EXISTS (SELECT FROM pg_database WHERE datname = $3) AS database_exists
             FROM pg_roles AS me WHERE me.rolname = current_user",
        )
        .bind(&names.owner)
        .bind(&names.api)
        .bind(&names.database)
        .fetch_one(connection)
        .await?;
        Ok(Self {
            version: row.try_get("version")?,
            version_text: row.try_get("version_text")?,
            read_only: row.try_get("read_only")?,
            makes_roles: row.try_get("makes_roles")?,
            makes_databases: row.try_get("makes_databases")?,
            owner_exists: row.try_get("owner_exists")?,
            api_exists: row.try_get("api_exists")?,
            api_attribute: row.try_get("api_attribute")?,
            database_exists: row.try_get("database_exists")?,
        })
    }

    fn refuse(&self, admin: &DatabaseUrl, names: &Names) -> Result<(), SetupError> {
        if self.version < OLDEST {
            return Err(SetupError::TooOld(self.version_text.clone()));
        }
        if self.read_only {
            return Err(SetupError::ReadOnly);
        }
        let attribute = match self.api_attribute.as_deref() {
            Some("super") => Some("is a superuser"),
            Some("bypass") => Some("has BYPASSRLS"),
            Some("roles") => Some("has CREATEROLE"),
            Some("member") => Some("is a member of the owner"),
            _ => None,
        };
        if let Some(attribute) = attribute {
            return Err(SetupError::TooPowerful {
                role: names.api.clone(),
                attribute,
            });
        }
        let not_allowed = |what: &str, attribute| SetupError::NotAllowed {
            role: admin.user().to_owned(),
            what: what.to_owned(),
            attribute,
        };
        if !(self.makes_roles || self.owner_exists && self.api_exists) {
            return Err(not_allowed("roles", "CREATEROLE"));
        }
        if !(self.makes_databases || self.database_exists) {
            return Err(not_allowed("a database", "CREATEDB"));
        }
        Ok(())
    }
}

/// What the API's role can do and should not.
async fn warn(
    api: &mut PgConnection,
    names: &Names,
    report: &mut Report,
) -> Result<(), SetupError> {
    let (makes_tables, makes_schemas): (bool, bool) = sqlx::query_as(
        "SELECT has_schema_privilege($1, 'CREATE'),
            has_database_privilege(current_database(), 'CREATE')",
    )
    .bind(&names.schema)
    .fetch_one(api)
    .await?;
    let Names { api, schema, .. } = names;
    if makes_tables {
        report.warnings.push(format!(
            "role {api} can make tables in schema {schema}, as everybody can there. Let its owner \
             run: REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC; or take a schema of its own with --schema"
        ));
    }
    if makes_schemas {
        report.warnings.push(format!(
            "role {api} can make schemas in the database, as everybody can there. Let its owner \
             run: REVOKE CREATE ON DATABASE \"{}\" FROM PUBLIC",
            names.database
        ));
    }
    Ok(())
}
