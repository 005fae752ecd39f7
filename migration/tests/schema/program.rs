//! `gatepost-migrate` as an operator starts it.

use std::process::{Command, Output, Stdio};

use crate::Database;

/// The program, on a schema of its own.
pub fn program(database: &Database, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost-migrate"));
    command
        .env_clear()
        .env("DATABASE_URL", database.url())
        .env("DATABASE_SCHEMA", "auth")
        .env("DATABASE_API_ROLE", &database.api)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn eight_programs_at_once_take_each_step_once() {
    let database = Database::empty();
    let running: Vec<_> = (0..8)
        .map(|_| program(&database, &["up"]).spawn().unwrap())
        .collect();
    let mut applied = 0;
    for child in running {
        let (status, out, err) = told(&child.wait_with_output().unwrap());
        assert_eq!(status, Some(0), "{out}{err}");
        assert!(out.ends_with("The schema is up to date.\n"), "{out}");
        applied += out.matches("applied  m").count();
    }
    assert_eq!(applied, migration::known().len());
    let taken = database
        .server
        .psql(&database.name, "SELECT count(*) FROM auth.seaql_migrations");
    assert_eq!(taken, migration::known().len().to_string());
}

#[test]
fn status_history_down_and_stamp_say_what_they_see_and_do() {
    let database = Database::empty();
    let ask = |arguments: &[&str]| told(&program(&database, arguments).output().unwrap());
    let steps = migration::known().len();

    let (status, out, _) = ask(&["status"]);
    assert_eq!((status, out.matches("pending").count()), (Some(0), steps));
    ask(&["up"]);
    let (_, out, _) = ask(&["status"]);
    assert_eq!(out.matches("applied  20").count(), steps, "{out}");

    let (_, out, _) = ask(&["down", "-n", "2"]);
    assert_eq!(out.matches("undone").count(), 2, "{out}");
    assert!(out.ends_with("Missing: 2 steps.\n"), "{out}");
    let (_, out, _) = ask(&["history"]);
    assert!(out.lines().nth(2).unwrap().ends_with("(current)"), "{out}");

    let newest = migration::expected_version();
    let (status, _, _) = ask(&["stamp", &newest]);
    assert_eq!(status, Some(1));
    let (_, out, _) = ask(&["status"]);
    assert_eq!(out.matches("pending").count(), 2);
    let (status, _, _) = ask(&["stamp", &newest, "--yes"]);
    assert_eq!(status, Some(0));
    let (_, out, _) = ask(&["status"]);
    assert!(out.ends_with("The schema is up to date.\n"), "{out}");

    let (status, _, err) = ask(&["stamp", "m1999", "--yes"]);
    assert_eq!(status, Some(1), "{err}");
}

#[test]
fn up_on_a_standby_does_nothing_says_so_and_succeeds() {
    let database = Database::empty();
    let standby = database.server.standby();
    let url = standby.url(&database.owner, &database.name);
    let output = program(&database, &["up", "--database-url", &url])
        .output()
        .unwrap();
    let (status, out, err) = told(&output);
    assert_eq!(status, Some(0), "{err}");
    assert!(out.contains("standby"), "{out}");
}

#[test]
fn faults_have_their_exit_status_and_never_tell_the_password() {
    let database = Database::empty();
    let cases = [
        ("mysql://u:hunter2@h/d", 78),
        ("postgres://u:hunter2@127.0.0.1:1/d", 69),
        (
            &database
                .url()
                .replace('@', ":hunter2@")
                .replace("test_", "none_"),
            78,
        ),
        (
            &database
                .url()
                .replace('@', ":hunter2@")
                .replace("owner_", "nobody_"),
            78,
        ),
    ];
    for (url, expected) in cases {
        let output = program(&database, &["up", "--database-url", url])
            .output()
            .unwrap();
        let (status, out, err) = told(&output);
        assert_eq!(status, Some(expected), "{out}{err}");
        assert!(
            !err.is_empty() && !format!("{out}{err}").contains("hunter2"),
            "{err}"
        );
    }
    let mut without = program(&database, &["status"]);
    let (status, _, err) = told(&without.env_remove("DATABASE_URL").output().unwrap());
    assert_eq!(status, Some(78), "{err}");
    let mut stranger = program(&database, &["up"]);
    let (status, _, err) = told(
        &stranger
            .env("DATABASE_API_ROLE", "nobody")
            .output()
            .unwrap(),
    );
    assert_eq!(status, Some(78), "{err}");
}

#[tokio::test]
async fn a_program_killed_in_the_middle_of_a_step_leaves_whole_steps_and_no_lock() {
    let database = Database::empty();
    let sql = format!("CREATE SCHEMA auth AUTHORIZATION {}", database.owner);
    database.server.psql(&database.name, &sql);
    // The step that makes `outbox` has to wait for this one's fate.
    let mut blocker = database.as_owner().begin().await.unwrap();
    sqlx::query("CREATE TABLE outbox ()")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let mut child = program(&database, &["up"]).spawn().unwrap();
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = '{}' AND wait_event_type = 'Lock'",
        database.name
    );
    while database.server.psql("postgres", &waiting) != "1" {
        assert!(child.try_wait().unwrap().is_none(), "it did not wait");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let db = database.connect("auth").await;
    let status = migration::status(&db).await.unwrap();
    assert_eq!(status.pending[0], "m20261121_000011_operations");

    blocker.rollback().await.unwrap();
    let (status, out, err) = told(&program(&database, &["up"]).output().unwrap());
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(migration::pending(&db).await.unwrap().is_empty());
}
