//! A backup brings everything back but what must not come back: who was logged in then.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Stdio};

use sqlx::{AssertSqlSafe, Executor};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    databases,
    harness::{TestApp, secret_key},
    program,
};

/// A command of the operator's, who knows both URLs and the key.
async fn command(app: &TestApp, database: &str, arguments: &[&str]) -> Command {
    let mut command = program::gatepost(app, arguments).await;
    command
        .env("DATABASE_URL", databases::api_url(database).await)
        .env(
            "MIGRATION_DATABASE_URL",
            databases::owner_url(database).await,
        )
        .env("SECRET_KEY", secret_key('a'));
    command
}

/// Its exit status and all that it said.
async fn told(command: &mut Command) -> (i32, String) {
    let output = command.output().await.unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), format!("{out}{err}"))
}

async fn run(app: &TestApp, arguments: &[&str]) -> (i32, String) {
    told(&mut command(app, &app.database, arguments).await).await
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[actix_web::test]
async fn what_a_backup_brings_back_is_all_there_and_nobody_is_logged_in() {
    let app = TestApp::spawn().await;
    let anna = app.user("anna").await;
    let folder = TempDir::new().unwrap();
    let file = path(&folder, "one.backup");
    let (status, text) = run(&app, &["db", "backup", &file]).await;
    assert_eq!(status, 0, "{text}");
    assert!(
        text.contains("users 2") && text.contains("sealed"),
        "{text}"
    );
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(names(folder.path()), ["one.backup"]);

    // What came after is lost, and what was then does not count any more.
    app.user("bert").await;
    assert_eq!(anna.get("/api/users/me").await.status, 200);
    let (status, text) = run(&app, &["db", "restore", &file, "--replace"]).await;
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("log in again"), "{text}");
    assert_eq!(anna.get("/api/users/me").await.status, 401);
    assert_eq!(app.login("bert@example.com").await.status, 401);
    app.log_in("anna@example.com").await;
    let entries = "SELECT count(*) FROM audit_log WHERE action = 'database.restored'";
    let count: i64 = sqlx::query_scalar(entries)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    assert_eq!(count, 1);
    let (status, text) = run(&app, &["db", "verify"]).await;
    assert_eq!(status, 0, "{text}");

    // Into an empty database, as after the loss of the server; the API's role has its rights.
    let other = databases::empty().await;
    let mut restore = command(&app, &other, &["db", "restore", &file]).await;
    let (status, text) = told(&mut restore).await;
    assert_eq!(status, 0, "{text}");
    let (status, text) = told(&mut command(&app, &other, &["db", "verify", "--json"]).await).await;
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("\"holds\": true"), "{text}");
    let revision = "SELECT revision >= 1000000 FROM authz_state";
    let later: bool = sqlx::query_scalar(revision)
        .fetch_one(&mut databases::superuser(&other).await)
        .await
        .unwrap();
    assert!(later, "no revision comes twice");
}

#[actix_web::test]
async fn what_cannot_be_restored_changes_nothing() {
    let app = TestApp::spawn().await;
    let anna = app.user("anna").await;
    let folder = TempDir::new().unwrap();
    let file = path(&folder, "one.backup");
    let (status, text) = run(&app, &["db", "backup", &file]).await;
    assert_eq!(status, 0, "{text}");
    let (status, text) = run(&app, &["db", "backup", &file]).await;
    assert_eq!(status, 4, "{text}");

    let (status, text) = run(&app, &["db", "restore", &file]).await;
    assert!(status == 4 && text.contains("--replace"), "{status} {text}");
    let mut other = command(&app, &app.database, &["db", "restore", &file, "--replace"]).await;
    let (status, text) = told(other.env("SECRET_KEY", secret_key('c'))).await;
    assert!(
        status == 4 && text.contains("would not open") && text.contains("--other-secret-key"),
        "{status} {text}"
    );

    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[20_000] ^= 1;
    for (name, content) in [
        ("cut", &whole[..100_000]),
        ("flipped", &flipped),
        ("empty", b"".as_slice()),
    ] {
        let damaged = path(&folder, name);
        fs::write(&damaged, content).unwrap();
        let (status, text) = run(&app, &["db", "restore", &damaged, "--replace"]).await;
        assert_eq!(status, 65, "{name}: {text}");
    }
    let (status, text) = run(&app, &["db", "restore", "/no/such/file"]).await;
    assert!(status == 1 && text.contains("/no/such/file"), "{text}");

    // The content comes, but not all of it: as if the server had lost its connection in between.
    let sql = "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
        CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('CREATE POLICY')
            EXECUTE FUNCTION refuse()";
    app.sql().await.execute(sql).await.unwrap();
    let (status, text) = run(&app, &["db", "restore", &file, "--replace"]).await;
    assert!(status == 1 && text.contains("not today"), "{status} {text}");
    assert_eq!(anna.get("/api/users/me").await.status, 200);
    let sql = "DROP EVENT TRIGGER refuse; CREATE TABLE of_others ()";
    app.sql().await.execute(sql).await.unwrap();
    for arguments in [
        ["db", "backup", "x"].as_slice(),
        &["db", "restore", &file, "--replace"],
    ] {
        let (status, text) = run(&app, arguments).await;
        assert!(status == 4 && text.contains("of_others"), "{status} {text}");
    }
}

#[actix_web::test]
async fn a_backup_that_fails_leaves_no_file() {
    let app = TestApp::spawn().await;
    let folder = TempDir::new().unwrap();
    let file = path(&folder, "one.backup");
    let backup = command(&app, &app.database, &["db", "backup", &file]).await;
    // No more than 40 blocks of 512 bytes for any file, as on a full disk.
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 40; exec \"$@\"", "sh"])
        .arg(backup.as_std().get_program())
        .args(backup.as_std().get_args())
        .env_clear()
        .envs(
            backup
                .as_std()
                .get_envs()
                .filter_map(|(k, v)| Some((k, v?))),
        )
        .current_dir(folder.path())
        .stdin(Stdio::null());
    let (status, text) = told(&mut limited).await;
    assert_eq!(status, 1, "{text}");
    assert_eq!(names(folder.path()), [""; 0], "{text}");

    let nowhere = path(&folder, "none/one.backup");
    let (status, text) = run(&app, &["db", "backup", &nowhere]).await;
    assert!(status == 1 && text.contains("none"), "{text}");
    let empty = databases::empty().await;
    let (status, text) = told(&mut command(&app, &empty, &["db", "backup", &file]).await).await;
    assert!(status == 4 && text.contains("no Gatepost"), "{text}");
    let mut wrong = command(&app, &app.database, &["db", "backup", &file]).await;
    let url = databases::url_of("gatepost_owner", "hunter2", &app.database).await;
    let (status, text) = told(wrong.env("MIGRATION_DATABASE_URL", url)).await;
    assert!(status == 69 && !text.contains("hunter2"), "{status} {text}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[actix_web::test]
async fn what_constraints_did_not_see_is_found_and_listed() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    app.user("anna").await;
    let made = admin
        .post("/api/organizations", serde_json::json!({"name": "Acme"}))
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    let organization = made.id();
    let (status, text) = run(&app, &["db", "verify"]).await;
    assert_eq!(status, 0, "{text}");
    let sql = format!(
        "SET session_replication_role = replica;
         DELETE FROM user_role_assignments WHERE resource_type = 'organization';
         INSERT INTO resources (id, type, external_id, organization_id, parent_id, ancestors,
             created_at, updated_at)
         SELECT id::uuid, 'thing', id, '{organization}', up::uuid, ARRAY[up]::uuid[], now(), now()
         FROM (VALUES ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000002'),
                      ('00000000-0000-7000-8000-000000000002', '00000000-0000-7000-8000-000000000001'))
             AS v (id, up);
         DELETE FROM users WHERE email = 'anna@example.com';
         INSERT INTO user_role_assignments (id, principal_type, user_id, role_id, resource_type,
             resource_id, organization_id, created_at)
         SELECT gen_random_uuid(), 'user', (SELECT id FROM users LIMIT 1), r.id, 'project',
             gen_random_uuid(), '{organization}', now() FROM roles r WHERE key = 'viewer' LIMIT 1;
         DELETE FROM audit_log WHERE action = 'user.registered'"
    );
    app.sql().await.execute(AssertSqlSafe(sql)).await.unwrap();
    let (status, text) = run(&app, &["db", "verify"]).await;
    assert_eq!(status, 3, "{text}");
    for line in [
        &format!("organization without an active owner: {organization}"),
        "resource that is above itself: 00000000-0000-7000-8000-000000000001",
        "role assignment of something that is gone",
        "sessions: 1 rows refer to nothing in users",
        "the chain is broken at",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}
