//! What other systems know, from their own databases.

use std::time::{Duration, Instant};

use gatepost::server::background;
use rusqlite::Connection as Sqlite;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;

use crate::{databases, harness::TestApp, program};

const PCAP_ANALYZER: &str = include_str!("../../../../examples/migrating/pcap-analyzer.sql");
const GATEKEEPER: &str = include_str!("../../../../examples/migrating/gatekeeper.sql");
const AUTH_API: &str = include_str!("../../../../examples/migrating/auth-api.sql");

/// A database in a file.
fn sqlite(folder: &TempDir, sql: &str) -> String {
    let path = folder.path().join("app.db");
    Sqlite::open(&path).unwrap().execute_batch(sql).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A database on a server.
async fn postgres(sql: &'static str) -> String {
    let url = databases::foreign().await;
    let mut db = PgConnection::connect(&url).await.unwrap();
    db.execute(sql).await.unwrap();
    db.close().await.unwrap();
    url
}

async fn import(app: &TestApp, arguments: &[&str]) -> (i32, String) {
    program::told(app, &[&["import"], arguments].concat()).await
}

/// The exit status, and what stood on standard error.
async fn refused(app: &TestApp, arguments: &[&str]) -> (i32, String) {
    let output = program::run(app, &[&["import"], arguments].concat()).await;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), text)
}

/// The rows of a query as JSON.
async fn rows(app: &TestApp, sql: &str) -> Value {
    let sql = format!("SELECT coalesce(json_agg(row), '[]') FROM ({sql}) AS row");
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap()
}

async fn number(app: &TestApp, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap()
}

async fn log_in(app: &TestApp, login: &str) -> u16 {
    let body = serde_json::json!({"login": login, "password": "correct horse"});
    app.anonymous().post("/api/auth/login", body).await.status
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[actix_web::test]
async fn users_of_a_sqlite_database_come_with_their_passwords_and_counters() {
    let app = TestApp::spawn().await;
    let folder = TempDir::new().unwrap();
    let path = sqlite(&folder, PCAP_ANALYZER);
    let before = std::fs::read(&path).unwrap();
    let all = ["sqlite", &path, "--from", "pcap-analyzer"];
    let (code, text) = import(&app, &[&all[..], &["--dry-run"]].concat()).await;
    assert_eq!(code, 65, "{text}");
    has(
        &text,
        &[
            "users row 5 (id 5): invalid_field: email: is not an e-mail address",
            "users row 3 (id 3): left_out: left out: profile_picture_url: must be",
            "users          5 read, 4 new, 0 already there, 1 not acceptable",
            "passwords      bcrypt 4",
            "users          columns that are not imported: password_reset_token",
            "New users who were administrators there: 1; here they are not",
        ],
    );
    let (code, text) = import(&app, &all).await;
    assert_eq!(code, 3, "{text}");
    let (code, text) = import(&app, &all).await;
    assert_eq!(code, 3, "{text}");
    has(&text, &["5 read, 0 new, 4 already there, 1 not acceptable"]);
    let found = rows(
        &app,
        "SELECT username, status, profile_picture_url AS picture, metadata, attributes,
            to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS since,
            last_login_at IS NOT NULL AS logged_in, password_hash LIKE '$2b$12$%' AS bcrypt
         FROM users WHERE email LIKE '%@pcap.example' ORDER BY username",
    )
    .await;
    let expected = serde_json::json!([
        {"username": "ada", "status": "active", "picture": "https://pcap.example/ada.png",
            "metadata": {"uploads_count": 12, "storage_used": 734_003_200},
            "attributes": {"role": "user"}, "since": "2023-02-03 09:15", "logged_in": true, "bcrypt": true},
        {"username": "ben", "status": "pending_approval", "picture": null,
            "metadata": {"uploads_count": 0, "storage_used": 0},
            "attributes": {"role": "user"}, "since": "2024-04-30 23:59", "logged_in": false, "bcrypt": true},
        {"username": "cleo", "status": "disabled", "picture": null,
            "metadata": {"uploads_count": 3, "storage_used": 1_048_576},
            "attributes": {"role": "user"}, "since": "2023-07-14 00:00", "logged_in": false, "bcrypt": true},
        {"username": "root", "status": "active", "picture": null,
            "metadata": {"uploads_count": 0, "storage_used": 0},
            "attributes": {"role": "admin"}, "since": "2023-02-01 08:00", "logged_in": true, "bcrypt": true},
    ]);
    assert_eq!(found, expected);
    for (login, status) in [("ada", 200), ("ben", 403), ("cleo", 403), ("dan", 401)] {
        assert_eq!(log_in(&app, login).await, status, "{login}");
    }
    let argon2 =
        "SELECT count(*) FROM users WHERE username = 'ada' AND password_hash LIKE '$argon2id$%'";
    assert_eq!(number(&app, argon2).await, 1);
    let roles = "SELECT count(*) FROM user_role_assignments a JOIN users u ON u.id = a.user_id
        WHERE u.email LIKE '%@pcap.example'";
    assert_eq!(
        number(&app, roles).await,
        0,
        "nobody is an administrator by a file"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before, "it is only read");

    // Another installation with the same numbers is not taken for the same people.
    let (_, text) = import(&app, &["sqlite", &path, "--source", "another"]).await;
    has(&text, &["0 new, 4 already there"]);
    Sqlite::open(&path)
        .unwrap()
        .execute_batch("DELETE FROM users WHERE id > 2; UPDATE users SET email = 'x' || email, username = 'x' || username")
        .unwrap();
    let (code, text) = import(&app, &all).await;
    assert_eq!(code, 3, "{text}");
    has(&text, &["users row 1 (id 1): id_taken: ", "--source NAME"]);
    let options = ["--source", "second", "--administrators"];
    let (code, text) = import(&app, &[&all[..], &options].concat()).await;
    assert_eq!(code, 0, "{text}");
    let admins = "SELECT u.username, r.key, a.reason, e.details->>'imported' AS audited
        FROM user_role_assignments a JOIN users u ON u.id = a.user_id AND NOT u.break_glass
        JOIN roles r ON r.id = a.role_id JOIN audit_log e ON e.target_id = a.id::text
        WHERE a.resource_type = 'system'";
    let expected = serde_json::json!([{"username": "xroot", "key": "admin", "reason": "imported", "audited": "true"}]);
    assert_eq!(rows(&app, admins).await, expected);
}

#[actix_web::test]
async fn who_waited_for_approval_there_waits_here_and_is_not_forgotten_for_having_waited() {
    let app = TestApp::spawn().await;
    let folder = TempDir::new().unwrap();
    let path = sqlite(&folder, PCAP_ANALYZER);
    import(&app, &["sqlite", &path]).await;
    let count = "SELECT count(*) FROM users WHERE NOT break_glass";
    for (days, left) in [(0, 4), (29, 4), (2, 3)] {
        app.clock.advance(chrono::TimeDelta::days(days));
        background::tidy_once(&app.state).await.unwrap();
        assert_eq!(number(&app, count).await, left, "{days}");
    }
}

#[actix_web::test]
async fn users_of_a_postgresql_database_keep_their_argon2_hashes() {
    let app = TestApp::spawn().await;
    let url = postgres(GATEKEEPER).await;
    // As the design says it, without a word on what the columns are.
    let (code, text) = import(&app, &["postgres", &url, "--table", "users"]).await;
    assert_eq!(code, 0, "{text}");
    has(
        &text,
        &["3 read, 3 new", "passwords      Argon2id 3", "Imported.\n"],
    );
    assert_eq!(log_in(&app, "eve").await, 200);
    assert_eq!(log_in(&app, "fay").await, 403);

    let app = TestApp::spawn().await;
    let (code, text) = import(&app, &["postgres", &url, "--from", "gatekeeper"]).await;
    assert_eq!(code, 0, "{text}");
    has(&text, &["columns that are not imported: mfa_secret"]);
    let sql = "SELECT metadata, attributes, to_char(created_at AT TIME ZONE 'UTC', 'HH24:MI') AS at
        FROM users WHERE username IN ('eve', 'gil') ORDER BY username";
    let expected = serde_json::json!([
        {"metadata": {"theme": "dark", "team": "red", "documents_processed": 42, "api_calls": 1700},
            "attributes": {"role": "user"}, "at": "00:00"},
        {"metadata": {"documents_processed": 0, "api_calls": 3}, "attributes": {"role": "admin"}, "at": "09:00"},
    ]);
    assert_eq!(rows(&app, sql).await, expected);
    assert_eq!(log_in(&app, "eve@gatekeeper.example").await, 200);
}

#[actix_web::test]
async fn the_tenants_of_the_auth_api_come_with_who_holds_what() {
    let app = TestApp::spawn().await;
    let url = postgres(AUTH_API).await;
    let all = ["postgres", &url, "--from", "auth-api"];
    let (code, text) = import(&app, &[&all[..], &["--dry-run"]].concat()).await;
    assert_eq!(code, 65, "{text}");
    has(
        &text,
        &[
            "users          3 read, 3 new",
            "organizations  2 read, 2 new",
            "accounts       1 read, 1 new",
            "projects       1 read, 1 new",
            "assignments    5 read, 3 new, 0 already there, 1 not acceptable, 1 withheld",
            "role: the mapping does not say what \"dreamer\" is here; it knows: admin, ",
            "organizations row 2 (id 0b000000-0000-4000-8000-000000000002): no_owner: ",
        ],
    );
    assert_eq!(number(&app, "SELECT count(*) FROM organizations").await, 0);
    let (code, text) = import(&app, &[&all[..], &["--strict"]].concat()).await;
    assert_eq!(code, 65, "{text}");
    assert_eq!(
        number(&app, "SELECT count(*) FROM users WHERE NOT break_glass").await,
        0
    );
    let (code, text) = import(&app, &all).await;
    assert_eq!(code, 3, "{text}");
    let (_, text) = import(&app, &all).await;
    has(&text, &["assignments    5 read, 0 new, 3 already there"]);

    // A UUID stays what it was, and rights hold at once.
    let joe = log_in_as(&app, "joe@auth.example").await;
    let project = "/api/projects/0d000000-0000-4000-8000-000000000001";
    let found = joe.get(project).await;
    assert_eq!(found.status, 200, "{}", found.body);
    assert_eq!(
        found.body["owner_id"],
        "0a000000-0000-4000-8000-000000000002"
    );
    let renamed = joe
        .patch(project, serde_json::json!({"name": "Apollo 11"}))
        .await;
    assert_eq!(
        renamed.status, 200,
        "an editor of the account: {}",
        renamed.body
    );
    let globex = "/api/organizations/0b000000-0000-4000-8000-000000000002";
    assert_eq!(joe.get(globex).await.status, 404);
    let ida = log_in_as(&app, "ida").await;
    let acme = ida
        .get("/api/organizations/0b000000-0000-4000-8000-000000000001")
        .await;
    assert_eq!((acme.status, &acme.body["slug"]), (200, &"acme".into()));
    let audited = "SELECT action, count(*) FROM audit_log WHERE actor_type = 'program'
        AND action <> 'user.created' GROUP BY 1 ORDER BY 1";
    let audited = rows(&app, audited).await.to_string();
    has(
        &audited,
        &[
            r#"{"action":"account.created","count":1}"#,
            r#"{"action":"organization.created","count":2}"#,
            r#"{"action":"project.created","count":1}"#,
            r#"{"action":"users.imported","count":1}"#,
        ],
    );
    let (code, text) = import(&app, &[&all[..], &["--administrators"]].concat()).await;
    assert_eq!(code, 3, "{text}");
    let hal = "SELECT count(*) FROM user_role_assignments a JOIN users u ON u.id = a.user_id
        WHERE u.username = 'hal' AND a.resource_type = 'system'";
    assert_eq!(number(&app, hal).await, 1, "once, by two ways");
}

async fn log_in_as(app: &TestApp, login: &str) -> crate::harness::Client {
    let body = serde_json::json!({"login": login, "password": "correct horse"});
    let answer = app.anonymous().post("/api/auth/login", body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    app.anonymous().with_tokens(&answer)
}

#[actix_web::test]
async fn who_is_here_already_gets_roles_only_if_the_address_is_proven() {
    let app = TestApp::spawn().await;
    app.user("someone").await;
    let url = postgres(AUTH_API).await;
    let sql = "UPDATE users SET email = 'joe@auth.example', email_normalized = 'joe@auth.example',
        email_verified_at = NULL WHERE username = 'someone'";
    app.sql().await.execute(sql).await.unwrap();
    let all = ["postgres", &url, "--from", "auth-api"];
    let (code, text) = import(&app, &all).await;
    assert_eq!(code, 3, "{text}");
    has(
        &text,
        &[
            "email_exists: this e-mail address is a user's already, who stays as they are; it is not proven",
            "user_missing: ",
        ],
    );
    let held = "SELECT count(*) FROM user_role_assignments a JOIN users u ON u.id = a.user_id
        WHERE u.username = 'someone'";
    assert_eq!(number(&app, held).await, 0);
    let sql = "UPDATE users SET email_verified_at = now() WHERE username = 'someone'";
    app.sql().await.execute(sql).await.unwrap();
    import(&app, &all).await;
    assert_eq!(number(&app, held).await, 2);
}

#[actix_web::test]
async fn a_mapping_of_ones_own_says_what_becomes_what() {
    let app = TestApp::spawn().await;
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mapping = write(
        "staff.toml",
        "name = 'staff'\n[users]\nid = 'no'\nemail = 'mail'\nlocale = { constant = 'de' }\n\
         email_verified = { column = 'confirmed', present = true }\n\
         [users.metadata]\ncolumns = { shoe = 'shoe_size' }\n",
    );
    let table = write(
        "staff.csv",
        "\u{feff}no,mail,confirmed,shoe_size,note\r\n7,\"ada@example.com\",2024-01-01,43,\"two\r\nlines\"\r\n\
         8,ben@example.com,,,\r\n",
    );
    let (code, text) = import(&app, &["csv", &table, "--mapping", &mapping]).await;
    assert_eq!(code, 0, "{text}");
    has(
        &text,
        &["2 read, 2 new", "columns that are not imported: note"],
    );
    let json = write(
        "staff.json",
        r#"{"name": "staff", "users": {"id": "no", "email": "mail"}}"#,
    );
    let lines = write(
        "staff.jsonl",
        "{\"no\": 7, \"mail\": \"ada@example.com\", \"more\": [1]}\n{\"no\": 9, \"mail\": \"cleo@example.com\"}\n",
    );
    let (code, text) = import(&app, &["jsonl", &lines, "--mapping", &json]).await;
    assert_eq!(code, 0, "{text}");
    has(&text, &["2 read, 1 new, 1 already there"]);
    let sql = "SELECT email, locale, metadata, email_verified_at IS NOT NULL AS verified FROM users
        WHERE NOT break_glass ORDER BY email";
    let expected = serde_json::json!([
        {"email": "ada@example.com", "locale": "de", "metadata": {"shoe": "43"}, "verified": true},
        {"email": "ben@example.com", "locale": "de", "metadata": {}, "verified": false},
        {"email": "cleo@example.com", "locale": null, "metadata": {}, "verified": false},
    ]);
    assert_eq!(rows(&app, sql).await, expected);
    // What is printed can be given back.
    let (code, printed) = import(&app, &["mapping", "gatekeeper"]).await;
    assert_eq!(code, 0);
    let own = write("own.toml", &printed);
    let url = postgres(GATEKEEPER).await;
    let (code, text) = import(&app, &["postgres", &url, "--mapping", &own, "--dry-run"]).await;
    assert_eq!(code, 0, "{text}");
    let wrong = write("wrong.toml", "name = 'x'\n[users]\nemail = 'nosuch'\n");
    let (code, text) = refused(&app, &["postgres", &url, "--mapping", &wrong]).await;
    assert_eq!(code, 66, "{text}");
    has(
        &text,
        &["email comes from the column nosuch, which is not there; there are: id, username"],
    );
}

#[actix_web::test]
async fn a_source_that_cannot_be_used_is_refused_before_anything_is_written() {
    let app = TestApp::spawn().await;
    let folder = TempDir::new().unwrap();
    let path = sqlite(&folder, PCAP_ANALYZER);
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let whole = std::fs::read(&path).unwrap();
    let cut = write("cut.db", &whole[..whole.len() - 4096 - 100]);
    let text_file = write(
        "text.db",
        b"this is no database, but a text of some length\n",
    );
    let utf16 = write("utf16.csv", b"\xFF\xFEe\0m\0");
    let unknown = write("unknown.csv", b"email,shoe_size\na@example.com,43\n");
    let empty = write("empty.csv", b"");
    let semicolons = write("semicolons.csv", b"email;username\na@example.com;a\n");
    let url = databases::foreign().await;
    let ours = app.sql_url().await;
    let refused_port = "postgres://nobody@127.0.0.1:1/nothing?sslmode=disable";
    for (arguments, part) in [
        (
            vec!["sqlite", &cut],
            "damaged, or was copied while it was written",
        ),
        (vec!["sqlite", &text_file], "is not a SQLite database"),
        (vec!["sqlite", "/no/such.db"], "No such file"),
        (
            vec!["sqlite", &path, "--table", "people"],
            "has no table \"people\"; it has: users",
        ),
        (
            vec!["sqlite", &path, "--from", "auth-api"],
            "has no table \"organizations\"",
        ),
        (vec!["csv", &utf16], "UTF-16"),
        (vec!["csv", &unknown], "mean nothing here: shoe_size"),
        (vec!["csv", &empty], "is empty"),
        (vec!["csv", &semicolons], "commas between the fields"),
        (vec!["postgres", &url], "has no table \"users\""),
        (vec!["postgres", &ours], "Gatepost's own"),
        (vec!["postgres", refused_port], "Connection refused"),
        (vec!["jsonl", "/tmp"], "directory"),
    ] {
        let (code, text) = refused(&app, &arguments).await;
        assert_eq!(code, 66, "{arguments:?}: {text}");
        has(&text, &[part]);
    }
    let (code, text) = refused(
        &app,
        &["postgres", "postgres://u:geheim@h/d?ssl_mode=require"],
    )
    .await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("ssl_mode") && !text.contains("geheim"),
        "{text}"
    );
    assert_eq!(
        number(&app, "SELECT count(*) FROM users WHERE NOT break_glass").await,
        0
    );
}

#[actix_web::test]
async fn rows_of_a_half_written_file_are_named_and_the_whole_ones_come() {
    let app = TestApp::spawn().await;
    let folder = TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cut = write(
        "cut.jsonl",
        b"{\"email\": \"a@example.com\"}\n{\"email\": \"b\xFF@example.com\"}\n{\"email\": \"c@exam",
    );
    let (code, text) = import(&app, &["jsonl", &cut]).await;
    assert_eq!(code, 3, "{text}");
    has(
        &text,
        &[
            "line 2: invalid_utf8: ",
            "line 3: cut_off: ",
            "3 read, 1 new",
        ],
    );
    let mut long = b"email,display_name\nd@example.com,\"".to_vec();
    long.extend(vec![b'x'; 600_000]);
    long.extend(
        b"\"\ne@example.com,5\" pipe\nf@example.com,\"two\nlines\"\ng@example.com,\"not clos",
    );
    let long = write("long.csv", &long);
    let (code, text) = import(&app, &["csv", &long]).await;
    assert_eq!(code, 3, "{text}");
    has(
        &text,
        &[
            "line 2: line_too_long: ",
            "line 4: invalid_field: display_name: must have no control characters",
            "line 6: cut_off: ",
            "4 read, 1 new",
        ],
    );
    let open = write("open.csv", b"email,display_name\nh@example.com,Ha");
    let (code, text) = import(&app, &["csv", &open, "--dry-run"]).await;
    assert_eq!(code, 0, "{text}");
    has(&text, &["line 2: open_end: "]);
}

#[actix_web::test]
async fn an_import_that_is_killed_leaves_whole_batches_and_the_next_one_goes_on() {
    let app = TestApp::spawn().await;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("many.jsonl");
    let lines = (0..30_000).map(|number| {
        format!("{{\"email\": \"p{number}@example.com\", \"username\": \"p{number}\"}}\n")
    });
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    let path = path.to_str().unwrap();
    let count = "SELECT count(*) FROM users WHERE NOT break_glass";
    let mut killed = program::gatepost(&app, &["import", "jsonl", path]).await;
    let mut killed = killed.spawn().unwrap();
    let begun = Instant::now();
    while number(&app, count).await < 4000 {
        assert!(begun.elapsed() < Duration::from_mins(2), "nothing comes");
    }
    killed.kill().await.unwrap();
    let activity = "SELECT count(*) FROM user_activity WHERE kind = 'imported'";
    let audited =
        "SELECT sum((details->>'users')::int) FROM audit_log WHERE action = 'users.imported'";
    // The server may still be at the last batch of the dead.
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND query LIKE 'INSERT%' AND state <> 'idle'";
    while number(&app, busy).await > 0 {}
    let there = number(&app, count).await;
    assert!(there % 2000 == 0 && there < 30_000, "{there}");
    assert_eq!(number(&app, activity).await, there);
    assert_eq!(number(&app, audited).await, there);
    let output = program::run(&app, &["import", "jsonl", path]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    let goes_on = format!("{there} are there already; going on at line {}", there + 1);
    has(&said, &[&goes_on]);
    for sql in [count, activity, audited] {
        assert_eq!(number(&app, sql).await, 30_000, "{sql}");
    }
}

#[actix_web::test]
async fn a_full_disk_is_named_and_nothing_is_half_done() {
    let app = TestApp::spawn().await;
    let folder = TempDir::new().unwrap();
    let path = sqlite(&folder, PCAP_ANALYZER);
    // What a server says whose disk is full, at the last statement of a batch.
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION full_disk()";
    app.sql().await.execute(full).await.unwrap();
    let (code, text) = refused(&app, &["sqlite", &path]).await;
    assert_eq!(code, 1, "{text}");
    has(
        &text,
        &[
            "the disk of the database is full",
            "run the import again, it goes on",
        ],
    );
    let count = "SELECT count(*) FROM users WHERE NOT break_glass";
    assert_eq!(number(&app, count).await, 0);
    let drop = "DROP TRIGGER full_disk ON audit_log";
    app.sql().await.execute(drop).await.unwrap();
    let (code, text) = refused(
        &app,
        &["sqlite", &path, "--strict", "--report", "/dev/full"],
    )
    .await;
    assert_eq!(code, 1, "{text}");
    has(
        &text,
        &["the report cannot be written: No space left on device"],
    );
    assert_eq!(number(&app, count).await, 0);
    assert_eq!(import(&app, &["sqlite", &path]).await.0, 3);
    assert_eq!(number(&app, count).await, 4);
}

#[actix_web::test]
async fn two_imports_at_once_bring_everybody_once() {
    let app = TestApp::spawn().await;
    let folder = TempDir::new().unwrap();
    let write = |name: &str, numbers: Vec<u32>| {
        let path = folder.path().join(name);
        let lines = numbers.iter().map(|number| {
            format!("{{\"email\": \"p{number}@example.com\", \"username\": \"p{number}\"}}\n")
        });
        std::fs::write(&path, lines.collect::<String>()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let there = write("there.jsonl", (0..6000).collect());
    let back = write("back.jsonl", (0..6000).rev().collect());
    let (there, back) = (["jsonl", &there], ["jsonl", &back]);
    let (first, second) = tokio::join!(import(&app, &there), import(&app, &back));
    assert_eq!((first.0, second.0), (0, 0), "{} {}", first.1, second.1);
    let count = "SELECT count(*) FROM users WHERE NOT break_glass";
    assert_eq!(number(&app, count).await, 6000);
    let activity = "SELECT count(*) FROM user_activity WHERE kind = 'imported'";
    assert_eq!(number(&app, activity).await, 6000);
}
