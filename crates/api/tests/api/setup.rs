//! A database is set up by whoever may, with two roles, of which the API's can do no more than it
//! has to.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Output, Stdio},
    sync::Arc,
};

use gatepost::{
    clock::SystemClock,
    config::SecretKey,
    database::{migrate::migrate, url::DatabaseUrl},
    server::start::{Secrets, start},
};
use secrecy::ExposeSecret;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    databases,
    harness::{TestApp, secret_key},
};

/// An administrator as managed servers give one: makes roles and databases, and is no superuser.
struct Admin {
    url: String,
    name: String,
    folder: TempDir,
}

impl Admin {
    async fn with(attributes: &str) -> Self {
        let name = databases::name("admin");
        let sql = format!("CREATE ROLE {name} LOGIN {attributes} PASSWORD 'of the admin'");
        let mut superuser = databases::superuser("postgres").await;
        superuser.execute(AssertSqlSafe(sql)).await.unwrap();
        Self {
            url: databases::url_of(&name, "of the admin", "postgres").await,
            name,
            folder: TempDir::new().unwrap(),
        }
    }

    /// `gatepost db setup` with names of this test.
    async fn setup(&self, more: &[&str]) -> Output {
        let name = &self.name;
        let folder = self.folder.path().join("secrets");
        let mut child = Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .args(["db", "setup", "-", "--database", &format!("{name}-db")])
            .args(["--owner", &format!("{name}_owner")])
            .args(["--api-role", &format!("{name}_api"), "--out"])
            .arg(&folder)
            .args(more)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(self.url.as_bytes()).await.unwrap();
        drop(input);
        child.wait_with_output().await.unwrap()
    }

    fn url(&self, file: &str) -> DatabaseUrl {
        let path = self.folder.path().join("secrets").join(file);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        DatabaseUrl::parse(fs::read_to_string(path).unwrap().trim()).unwrap()
    }
}

fn text(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

async fn connect(url: &DatabaseUrl) -> Result<PgConnection, sqlx::Error> {
    PgConnection::connect_with(&url.to_connect_options(false)).await
}

/// Everything that has to be refused to the API's role.
async fn can_change_no_schema(api: &mut PgConnection, schema: &str, owner: &str) {
    for sql in [
        format!("CREATE TABLE {schema}.x ()"),
        "CREATE SCHEMA x".to_owned(),
        "CREATE TEMP TABLE x ()".to_owned(),
        format!("DROP TABLE {schema}.users"),
        format!("ALTER TABLE {schema}.users ADD COLUMN x int"),
        format!("TRUNCATE {schema}.users"),
        format!("CREATE INDEX x ON {schema}.users (id)"),
        format!("DELETE FROM {schema}.audit_log"),
        format!("SET ROLE {owner}"),
        "CREATE ROLE x".to_owned(),
    ] {
        let error = api
            .execute(AssertSqlSafe(sql.clone()))
            .await
            .expect_err(&sql);
        let code = error.as_database_error().unwrap().code().unwrap();
        assert_eq!(code, "42501", "{sql}");
    }
}

/// Migrates as the owner, and starts the service as the API's role.
async fn serve(admin: &Admin, schema: &str) {
    let (owner, api) = (
        admin.url("migration_database_url"),
        admin.url("database_url"),
    );
    let text = api.to_secret_text();
    let config = databases::read_config(&[
        ("DATABASE_URL", text.expose_secret()),
        ("DATABASE_SCHEMA", schema),
        ("ARGON2_MEMORY_KIB", "64"),
    ]);
    migrate(&config.database, &owner, api.user()).await.unwrap();
    let key = |digit| SecretKey::parse(&secret_key(digit)).unwrap();
    let secrets = Secrets {
        key: key('a'),
        previous: None,
        csrf: key('b'),
    };
    let started = Box::pin(start(config, &api, &secrets, Arc::new(SystemClock)))
        .await
        .unwrap();
    assert!(started.break_glass.is_some());
    started.state.db.clone().close().await;
    let mut connection = connect(&api).await.unwrap();
    can_change_no_schema(&mut connection, schema, owner.user()).await;
}

#[actix_web::test]
async fn an_administrator_who_is_no_superuser_sets_up_a_database_that_serves() {
    let admin = Admin::with("CREATEDB CREATEROLE").await;
    let (status, out, err) = text(&admin.setup(&["--schema", "auth"]).await);
    assert_eq!(status, Some(0), "{out}{err}");
    for made in ["role", "database", "schema auth", "DATABASE_SCHEMA=auth"] {
        assert!(out.contains(made), "{made}: {out}");
    }
    let urls = ["migration_database_url", "database_url"].map(|file| admin.url(file));
    for url in &urls {
        let password = url.password().unwrap().expose_secret();
        assert!(!out.contains(password) && !err.contains(password));
    }
    let (status, out, _) = text(&admin.setup(&["--schema", "auth"]).await);
    assert!(
        status == Some(0) && out.starts_with("Nothing to do"),
        "{out}"
    );
    let again = ["migration_database_url", "database_url"].map(|file| admin.url(file));
    let texts = |urls: &[DatabaseUrl]| -> Vec<String> {
        let texts = urls.iter().map(DatabaseUrl::to_secret_text);
        texts.map(|text| text.expose_secret().to_owned()).collect()
    };
    assert_eq!(texts(&urls), texts(&again));
    serve(&admin, "auth").await;

    let (status, out, err) = text(&admin.setup(&["--schema", "auth", "--rotate"]).await);
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(connect(&urls[1]).await.is_err(), "the old password is void");
    assert!(connect(&admin.url("database_url")).await.is_ok());
    let left = fs::read_dir(admin.folder.path().join("secrets")).unwrap();
    assert_eq!(left.count(), 2, "no drafts");
}

#[actix_web::test]
async fn what_is_printed_for_others_does_the_same() {
    let admin = Admin::with("CREATEDB CREATEROLE").await;
    let (status, script, err) = text(&admin.setup(&["--print-sql"]).await);
    assert_eq!(status, Some(0), "{err}");
    let password = admin.url("database_url");
    let password = password.password().unwrap().expose_secret();
    assert!(!script.contains(password) && !err.contains(password));
    let file = admin.folder.path().join("setup.sql");
    fs::write(&file, script).unwrap();
    for _ in 0..2 {
        let run = psql(&admin.url, &file).await;
        assert!(run.status.success(), "{run:?}");
    }
    let (status, out, err) = text(&admin.setup(&[]).await);
    assert!(
        status == Some(0) && out.starts_with("Nothing to do"),
        "{out}{err}"
    );
    serve(&admin, "public").await;
}

async fn psql(url: &str, file: &Path) -> Output {
    Command::new("psql")
        .args(["--no-psqlrc", "--dbname", url, "--file"])
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap()
}

#[actix_web::test]
async fn nothing_is_half_done_where_it_is_refused() {
    for (attributes, lacking) in [("", "no CREATEROLE"), ("CREATEROLE", "no CREATEDB")] {
        let admin = Admin::with(attributes).await;
        let (status, _, err) = text(&admin.setup(&[]).await);
        assert_eq!(status, Some(4), "{err}");
        assert!(
            err.contains(lacking) && err.contains("--print-sql"),
            "{err}"
        );
        assert!(!admin.folder.path().join("secrets").exists());
    }

    let admin = Admin::with("CREATEDB CREATEROLE").await;
    let secrets = admin.folder.path().join("secrets");
    fs::write(&secrets, "a file, not a folder").unwrap();
    let (status, _, err) = text(&admin.setup(&[]).await);
    assert_eq!(status, Some(1), "{err}");
    let made = "SELECT count(*) FROM pg_roles WHERE rolname LIKE $1";
    let made: i64 = sqlx::query_scalar(made)
        .bind(format!("{}\\_%", admin.name))
        .fetch_one(&mut databases::superuser("postgres").await)
        .await
        .unwrap();
    assert_eq!(made, 0, "no role whose password nobody has");
    fs::remove_file(&secrets).unwrap();

    assert!(admin.setup(&[]).await.status.success());
    fs::remove_file(secrets.join("database_url")).unwrap();
    let (status, _, err) = text(&admin.setup(&[]).await);
    assert_eq!(status, Some(4), "{err}");
    assert!(err.contains("password is not known"), "{err}");
    assert!(admin.setup(&["--rotate"]).await.status.success());

    let sql = format!("ALTER ROLE {}_api BYPASSRLS", admin.name);
    let mut superuser = databases::superuser("postgres").await;
    superuser.execute(AssertSqlSafe(sql)).await.unwrap();
    let (status, _, err) = text(&admin.setup(&[]).await);
    assert_eq!(status, Some(4), "{err}");
    assert!(err.contains("BYPASSRLS"), "{err}");
}

#[actix_web::test]
async fn a_program_serves_on_a_schema_that_is_a_step_ahead_of_it() {
    let app = TestApp::spawn().await;
    let sql = "ALTER TABLE users ADD COLUMN of_the_future text;
        ALTER TABLE sessions ADD COLUMN of_the_future integer NOT NULL DEFAULT 1;
        CREATE TABLE of_the_future (id uuid PRIMARY KEY REFERENCES users (id));
        INSERT INTO seaql_migrations VALUES ('m29990101_000001_future', 0)";
    app.sql().await.execute(sql).await.unwrap();
    let health = app.anonymous().get("/api/health").await;
    assert_eq!(health.body["status"], "ok", "{health:?}");
    let migrations = &health.body["checks"]["migrations"];
    assert_eq!(migrations["note"], "newer than this program", "{health:?}");
    let ready = app.anonymous().get("/api/health/ready").await;
    assert_eq!(ready.status, 200, "{ready:?}");
    // One that starts now serves as well.
    let second = app.second().await;
    let anna = second.user("anna").await;
    assert_eq!(anna.get("/api/users/me").await.status, 200);
    let answer = anna
        .post("/api/auth/logout-all", serde_json::json!({}))
        .await;
    assert!(answer.status < 300, "{answer:?}");
    second.stop().await;

    let sql = "DELETE FROM seaql_migrations WHERE version = (SELECT max(version)
        FROM seaql_migrations WHERE version < 'm2999')";
    app.sql().await.execute(sql).await.unwrap();
    let ready = app.anonymous().get("/api/health/ready").await;
    assert_eq!(ready.status, 503, "{ready:?}");
}
