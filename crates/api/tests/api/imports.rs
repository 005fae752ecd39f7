//! Users of other systems: all of a file or nothing of it, with passwords that go on working.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{harness::TestApp, program};

/// Vectors of other implementations; `src/crypto/password/foreign/tests.rs` says how they were made.
const HASHES: [(&str, &str, &str); 9] = [
    (
        "bcrypt",
        "$2y$04$abcdefghijklmnopqrstuutZdyw9TUH0xTjrz870v.NGiZFoROG7W",
        "grüne Katze",
    ),
    (
        "bcrypt-sha256",
        "bcrypt_sha256$$2b$04$GiIkuAuqLTGv/NZn5w6DV.xYI9XxfUWAOmqzz.ZKR9hlfH/ewR5Su",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabcdef",
    ),
    (
        "scrypt",
        "$scrypt$ln=4,r=8,p=1$0hrD+H8PgXAO4fwfA6DU+g$mDBkDuNuqT/JqzcMO0abesRT84pkoSzPQC+4NhKEXKM",
        "correct horse",
    ),
    (
        "pbkdf2",
        "$pbkdf2-sha256$1000$EeI85/xfaw0hBGAMAWAsZQ$JrvWQY0Op5yaBKIMYqJ.FRrDgdt2WMLNxsobKNFREOk",
        "correct horse",
    ),
    (
        "django",
        "pbkdf2_sha1$1000$lightsalt1$wrDRL1pli2ww8DvUdjAqIdhgfek=",
        "correct horse",
    ),
    (
        "sha-crypt",
        "$6$saltsalt$hRM5XZ86KXEw9UOmjigeVqFgULtFB2sgpC9lXQDfMib3Zgw7mEiUvBJI2EplzfAqxL5Vvwp2scFtv/uamSo5z0",
        "correct horse",
    ),
    (
        "argon2i",
        "$argon2i$v=19$m=64,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$rB84JT5z5pR7npjABPWWPmhej9GHFq2J2QtVNJPtUE0",
        "correct horse",
    ),
    (
        "argon2-1.0",
        "$argon2id$v=16$m=64,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$UrmhGLByONQ4UqyOoyEDJO4qRU3ZaB/Tc4DhTcbmPVU",
        "correct horse",
    ),
    (
        "argon2id",
        "$argon2id$v=19$m=7168,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$+qVWYy4Fi5uFcqElD0Z5PA",
        "grüne Katze",
    ),
];

/// A file with these lines.
fn file(folder: &TempDir, name: &str, lines: &[String]) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, lines.join("\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

fn jsonl(lines: impl IntoIterator<Item = Value>) -> Vec<String> {
    lines.into_iter().map(|line| line.to_string()).collect()
}

async fn import(app: &TestApp, path: &str, options: &[&str]) -> (i32, String) {
    let syntax = match Path::new(path).extension() {
        Some(end) if end == "csv" => "csv",
        _ => "jsonl",
    };
    let arguments = [&["import", syntax, path], options].concat();
    program::told(app, &arguments).await
}

async fn number(app: &TestApp, sql: &str) -> i64 {
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::query_scalar(sql)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap()
}

async fn imported(app: &TestApp) -> i64 {
    number(app, "SELECT count(*) FROM users WHERE NOT break_glass").await
}

async fn stored(app: &TestApp, email: &str) -> String {
    let sql = "SELECT password_hash FROM users WHERE email = $1";
    let query = sqlx::query_scalar(sql).bind(email);
    query.fetch_one(&mut app.sql().await).await.unwrap()
}

async fn log_in(app: &TestApp, login: &str, password: &str) -> u16 {
    let body = json!({"login": login, "password": password});
    app.anonymous().post("/api/auth/login", body).await.status
}

#[actix_web::test]
async fn an_imported_password_works_and_is_replaced_by_argon2id_at_the_first_login() {
    let app = TestApp::spawn().await;
    let folder = TempDir::new().unwrap();
    let lines = HASHES.map(
        |(name, hash, _)| json!({"email": format!("{name}@example.com"), "password_hash": hash}),
    );
    let path = file(&folder, "users.jsonl", &jsonl(lines));
    let (code, text) = import(&app, &path, &[]).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("users          9 read, 9 new, 0 already there\n")
            && text.contains("passwords      Argon2i 1, Argon2id 2, PBKDF2-SHA1 1")
            && text.ends_with("Imported.\n"),
        "{text}"
    );
    gatepost::users::hashes::look(&app.state).await.unwrap();
    let unknown = (0..300).map(|number| app.state.decoys.pick(&format!("nobody{number}")));
    let kinds: std::collections::BTreeSet<_> = unknown
        .map(|kind| kind.map_or("ours", |kind| kind.name()))
        .collect();
    assert!(
        kinds.is_superset(&["ours", "bcrypt", "scrypt", "SHA-512-crypt", "Argon2i"].into()),
        "{kinds:?}"
    );
    for (name, _, password) in HASHES {
        let email = format!("{name}@example.com");
        let before = stored(&app, &email).await;
        assert_eq!(log_in(&app, &email, "wrong horse").await, 401, "{name}");
        assert_eq!(stored(&app, &email).await, before, "{name}");
        assert_eq!(log_in(&app, &email, password).await, 200, "{name}");
        let after = stored(&app, &email).await;
        assert!(
            after.starts_with("$argon2id$v=19$m=64,t=2,p=1$"),
            "{name}: {after}"
        );
        assert_eq!(log_in(&app, &email, password).await, 200, "{name}");
        assert_eq!(stored(&app, &email).await, after, "{name}: once");
    }
    // The first hash of one that was typed in another form is made of what was typed, ours is not.
    let decomposed = "gru\u{308}ne Katze";
    assert_eq!(log_in(&app, "argon2id@example.com", decomposed).await, 200);
}

#[actix_web::test]
async fn one_bad_row_does_not_lose_the_others_unless_that_is_asked_for() {
    let app = TestApp::spawn().await;
    app.user("anna").await;
    let before = imported(&app).await;
    let folder = TempDir::new().unwrap();
    let hash = HASHES[0].1;
    let mut lines = jsonl([
        json!({"email": "fine@example.com", "password_hash": hash}),
        json!({"email": "no address"}),
        json!({"email": "md5@example.com", "password_hash": "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/"}),
        json!({"email": "plain@example.com", "password": "correct horse"}),
        json!({"email": "costly@example.com", "password_hash": hash.replace("$04$", "$31$")}),
        json!({"email": "Fine@Example.com"}),
        json!({"email": "a@example.com", "username": "same"}),
        json!({"email": "b@example.com", "username": "SAME"}),
        json!({"email": "c@example.com", "username": "Anna"}),
        json!({"email": "d@example.com", "created_at": "2999-01-01T00:00:00Z"}),
        json!({"email": "e@example.com", "password_hash": hash, "keycloak": {}}),
        json!({"email": "f@example.com", "keycloak": {"type": "password", "algorithm": "x"}}),
        json!({"email": "g@example.com", "status": "rejected"}),
        json!({"email": "h@example.com", "roles": ["admin"]}),
        json!({"email": "i@example.com", "metadata": {"a": "\u{0}"}}),
    ]);
    lines.push("{".to_owned());
    lines.push(String::new());
    lines.push(format!("{{\"email\": \"{}\"}}", "x".repeat(300_000)));
    let path = file(&folder, "users.jsonl", &lines);
    let (code, text) = import(&app, &path, &["--strict"]).await;
    assert_eq!((code, imported(&app).await), (65, before), "{text}");
    let (dry, told) = import(&app, &path, &["--dry-run"]).await;
    assert_eq!((dry, told), (65, text.clone()));
    for (line, code) in [
        (2, "invalid_field: email: is not an e-mail address"),
        (
            3,
            "hash_unsupported: password: md5crypt ($1$) is not supported",
        ),
        (4, "invalid_field: "),
        (5, "hash_too_costly: "),
        (6, "duplicate_email: line 1 has the same"),
        (8, "duplicate_username: line 7 has the same"),
        (9, "username_taken: "),
        (10, "invalid_field: created_at"),
        (11, "two_passwords: "),
        (12, "hash_unsupported: "),
        (13, "invalid_field: status"),
        (14, "invalid_field: "),
        (15, "invalid_field: metadata"),
        (16, "invalid_json: "),
        (18, "line_too_long: "),
    ] {
        let found = text
            .lines()
            .any(|told| told.starts_with(&format!("line {line}: {code}")));
        assert!(found, "line {line}: {code} is not in\n{text}");
    }
    assert!(
        text.contains("17 read, 2 new, 0 already there, 15 not acceptable\n")
            && text.contains("md5crypt ($1$) (not verifiable) 1")
            && text.ends_with("Nothing was written, because of 15 rows that are not acceptable.\n"),
        "{text}"
    );
    assert!(
        !text.contains("correct horse") && !text.contains(hash),
        "{text}"
    );
    let report = folder.path().join("report.jsonl");
    let report = report.to_str().unwrap();
    let options = ["--report", report, "--drop-hashes"];
    let (code, text) = import(&app, &path, &options).await;
    assert_eq!((code, imported(&app).await), (3, before + 5), "{text}");
    assert!(
        text.ends_with("Imported, but for 12 rows that are not acceptable.\n"),
        "{text}"
    );
    let report = std::fs::read_to_string(report).unwrap();
    let found = |line: &str| serde_json::from_str::<Value>(line).unwrap()["refused"] == true;
    assert_eq!(report.lines().filter(|line| found(line)).count(), 12);
    assert_eq!(import(&app, "/no/such/file", &[]).await.0, 66);
    let empty = file(&folder, "empty.jsonl", &[]);
    assert_eq!(import(&app, &empty, &[]).await.0, 0);
}

fn people(count: usize) -> Vec<String> {
    jsonl((0..count).map(|number| {
        json!({
            "email": format!("person{number}@example.com"), "username": format!("person{number}"),
            "display_name": "A Person", "locale": "de", "email_verified": number % 2 == 0,
            "metadata": {"n": number}, "attributes": {"department": "sales"},
            "created_at": "2020-01-02T03:04:05Z", "password_hash": HASHES[0].1,
            "status": if number == 3 { "disabled" } else { "active" },
        })
    }))
}

#[actix_web::test]
async fn an_import_that_was_interrupted_is_run_again_and_goes_on() {
    let app = TestApp::spawn().await;
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "users.jsonl", &people(4200));
    let (code, text) = import(&app, &path, &["--dry-run"]).await;
    assert_eq!((code, imported(&app).await), (0, 0), "{text}");
    assert!(
        text.contains("4200 read, 4200 new, 0 already there"),
        "{text}"
    );
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.email = 'person2700@example.com' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION refuse()";
    app.sql().await.execute(refuse).await.unwrap();
    let (code, text) = import(&app, &path, &[]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("run the import again"), "{text}");
    let entries = "SELECT sum((details->>'users')::int) FROM audit_log
        WHERE action = 'users.imported' AND actor_type = 'program'";
    let activity = "SELECT count(DISTINCT user_id) FROM user_activity WHERE kind = 'imported'";
    for sql in [entries, activity] {
        assert_eq!(
            number(&app, sql).await,
            2000,
            "whole batches, or nothing of them"
        );
    }
    assert_eq!(imported(&app).await, 2000);

    let drop = "DROP TRIGGER refuse ON users";
    app.sql().await.execute(drop).await.unwrap();
    let options = ["--on-conflict", "fail", "--strict"];
    let (code, text) = import(&app, &path, &options).await;
    assert_eq!((code, imported(&app).await), (65, 2000), "{text}");
    assert!(
        text.contains("line 1: email_exists: ") && text.contains("and 1900 more"),
        "{text}"
    );
    let output = program::run(&app, &["import", "jsonl", &path]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("4200 read, 2200 new, 2000 already there"),
        "{text}"
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("2000 are there already; going on at line 2001"),
        "{said}"
    );
    let (code, text) = import(&app, &path, &[]).await;
    assert!(
        code == 0 && text.contains("4200 read, 0 new, 4200 already there"),
        "{text}"
    );
    for sql in [entries, activity] {
        assert_eq!(number(&app, sql).await, 4200);
    }
    let all =
        "SELECT count(*) FROM users WHERE username = 'person' || (metadata->>'n') AND locale = 'de'
        AND attributes = '{\"department\": \"sales\"}' AND created_at = '2020-01-02T03:04:05Z'
        AND (email_verified_at IS NULL) = ((metadata->>'n')::int % 2 = 1)
        AND password_changed_at IS NOT NULL";
    assert_eq!(number(&app, all).await, 4200);
    assert_eq!(log_in(&app, "person4", HASHES[0].2).await, 200);
    assert_eq!(log_in(&app, "person3", HASHES[0].2).await, 403, "disabled");
}

#[actix_web::test]
async fn a_table_of_comma_separated_values_is_read_too() {
    let app = TestApp::spawn().await;
    let folder = TempDir::new().unwrap();
    let mut lines = vec!["email,display_name,password_hash,email_verified,metadata".to_owned()];
    lines.push(format!(
        "a@example.com,\"Lee, Kim\",{},true,\"{{\"\"a\"\": 1}}\"",
        HASHES[0].1
    ));
    lines.push("b@example.com,,,,".to_owned());
    let path = file(&folder, "users.csv", &lines);
    let (code, text) = import(&app, &path, &[]).await;
    assert_eq!(code, 0, "{text}");
    let right =
        "SELECT count(*) FROM users WHERE display_name = 'Lee, Kim' AND metadata = '{\"a\": 1}'
        AND email_verified_at IS NOT NULL";
    assert_eq!(number(&app, right).await, 1);
    assert_eq!(log_in(&app, "a@example.com", HASHES[0].2).await, 200);
    lines.push("c@example.com,too,few".to_owned());
    lines.push("d@example.com,,,perhaps,".to_owned());
    let path = file(&folder, "wrong.csv", &lines);
    let (code, text) = import(&app, &path, &[]).await;
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("line 4: invalid_csv")
            && text.contains("line 5: invalid_field: email_verified"),
        "{text}"
    );
}

/// Runs the conversion that the guide shows, on an export in its form.
async fn converted(name: &str, options: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/import");
    let of = |end: &str| -> PathBuf { folder.join(format!("{name}.{end}")) };
    let output = Command::new("jq")
        .arg("-c")
        .args(options)
        .arg("-f")
        .arg(of("jq"))
        .arg(of("json"))
        .output()
        .await;
    let output = output.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[actix_web::test]
async fn exports_of_other_systems_become_files_that_can_be_imported() {
    let app = TestApp::spawn().await;
    let folder = TempDir::new().unwrap();
    let key =
        "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==";
    let project = [
        "--arg", "key", key, "--arg", "sep", "Bw==", "--arg", "rounds", "8", "--arg", "mem_cost",
        "14",
    ];
    let mut text = converted("keycloak", &[]).await;
    text += &converted("django", &[]).await;
    text += &converted("firebase", &project).await;
    // Supabase's table, as far as the query reads it.
    let mut superuser = app.sql().await;
    let table = "CREATE SCHEMA IF NOT EXISTS auth; CREATE TABLE auth.users (email text, email_confirmed_at timestamptz,
            encrypted_password text, banned_until timestamptz, raw_user_meta_data jsonb, raw_app_meta_data jsonb,
            created_at timestamptz, deleted_at timestamptz);
        INSERT INTO auth.users VALUES ('sam@supabase.example', now(), '$2a$04$jjqUgygzXzBZirV2UwDeIOCuU7kv1RCkZWOiiIxyjmmgDCO7MBR.6',
            NULL, '{\"name\": \"Sam\"}', NULL, '2024-01-01', NULL), ('gone@supabase.example', NULL, '', NULL, NULL, NULL, now(), now())";
    superuser.execute(table).await.unwrap();
    let query = include_str!("../../../../examples/import/supabase.sql");
    let lines: Vec<Value> = sqlx::query_scalar(query)
        .fetch_all(&mut superuser)
        .await
        .unwrap();
    text += &jsonl(lines).join("\n");
    let path = file(&folder, "users.jsonl", &[text]);
    let (code, told) = import(&app, &path, &[]).await;
    assert_eq!(code, 0, "{told}");
    assert!(
        told.contains("8 read, 8 new, 0 already there") && told.contains("none 3"),
        "{told}"
    );
    for (login, password) in [
        ("kim", "correct horse"),
        ("lou@keycloak.example", "correct horse"),
        ("dana", "correct horse"),
        ("fay@firebase.example", "user1password"),
        ("sam@supabase.example", "correct horse"),
    ] {
        assert_eq!(log_in(&app, login, password).await, 200, "{login}");
    }
}
