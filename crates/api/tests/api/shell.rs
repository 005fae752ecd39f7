//! `gatepost admin`: the program itself, on the database of a running instance.

use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    databases,
    harness::{PASSWORD, TestApp, secret_key},
};

/// A shell with the two settings that commands need.
struct Shell {
    url: String,
    folder: tempfile::TempDir,
    settings: Vec<(&'static str, String)>,
}

impl Shell {
    async fn on(app: &TestApp) -> Self {
        Self {
            url: databases::api_url(&app.database).await,
            folder: tempfile::tempdir().unwrap(),
            settings: vec![("SECRET_KEY", secret_key('a'))],
        }
    }

    async fn run_with(&self, arguments: &str, input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .arg("admin")
            .args(arguments.split(' '))
            .env_clear()
            .env("DATABASE_URL", &self.url)
            .env("ARGON2_MEMORY_KIB", "64")
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        child.wait_with_output().await.unwrap()
    }

    /// The exit status, what was printed, and what was complained about.
    async fn run(&self, arguments: &str) -> (i32, String, String) {
        let output = self.run_with(arguments, "").await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap();
        (code, text(&output.stdout), text(&output.stderr))
    }

    /// What a command that succeeds prints for programs.
    async fn json(&self, arguments: &str) -> Value {
        let (code, out, faults) = self.run(&format!("{arguments} --json")).await;
        assert_eq!(code, 0, "{arguments}: {faults}");
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments}: {out}"))
    }

    async fn status(&self, arguments: &str) -> i32 {
        self.run(arguments).await.0
    }
}

#[actix_web::test]
async fn users_are_made_found_and_taken_from_state_to_state() {
    let app = TestApp::spawn().await;
    let shell = Shell::on(&app).await;
    let create = "users create --email anna@example.com --username anna --locale de \
                  --attributes {\"clearance\":3} --password-stdin --json";
    let made = shell.run_with(create, &format!("{PASSWORD}\n")).await;
    assert!(made.status.success(), "{made:?}");
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(made["attributes"], json!({"clearance": 3}));
    assert_eq!(
        app.login("anna").await.body["status"],
        "password_change_required"
    );
    app.anonymous()
        .post(
            "/api/register",
            json!({"email": "ben@example.com", "password": PASSWORD}),
        )
        .await;
    assert_eq!(
        shell.json("users approve ben@example.com").await["status"],
        "active"
    );
    let ben = app.log_in("ben@example.com").await;
    let listed = shell.json("users list --status active").await;
    let emails: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|user| user["email"].clone())
        .collect();
    assert_eq!(
        emails,
        ["admin@example.com", "anna@example.com", "ben@example.com"]
    );
    let sessions = shell.json("users sessions ben@example.com").await;
    assert_eq!(sessions.as_array().unwrap().len(), 1);
    let table = shell.run("users list --q ben").await.1;
    assert!(
        table.starts_with("ID ") && table.contains("ben@example.com"),
        "{table}"
    );
    assert_eq!(table.lines().count(), 2, "{table}");
    assert_eq!(
        shell.json("users end-sessions ben@example.com").await["ended"],
        1
    );
    assert_eq!(
        ben.get("/api/users/me").await.status,
        401,
        "the running instance hears of it"
    );
    for (step, status) in [
        ("disable", "disabled"),
        ("enable", "active"),
        ("unlock", "active"),
        ("require-password-change", "active"),
    ] {
        let user = shell.json(&format!("users {step} {}", ben.user_id)).await;
        assert_eq!(user["status"], status, "{step}");
    }
    assert_eq!(shell.status("users approve nobody").await, 3);
    assert_eq!(shell.status("users reject anna").await, 4);
    assert_eq!(shell.status("users promote anna").await, 2);
    let admin = app.admin().await;
    let log = admin
        .get(&format!("/api/admin/audit?target_id={}", ben.user_id))
        .await;
    let entries = log.body["items"].as_array().unwrap();
    let program = entries
        .iter()
        .filter(|entry| entry["actor_type"] == "program")
        .count();
    assert_eq!(program, 5, "{entries:#?}");
}

#[actix_web::test]
async fn nothing_is_erased_unasked() {
    let app = TestApp::spawn().await;
    app.user("anna").await;
    let shell = Shell::on(&app).await;
    let (code, _, faults) = shell.run("users delete anna").await;
    assert_eq!(code, 2, "{faults}");
    assert!(faults.contains("--yes"), "{faults}");
    assert_eq!(app.login("anna").await.status, 200);
    assert_eq!(shell.status("users delete anna --yes").await, 0);
    assert_eq!(app.login("anna").await.status, 401);
    let (code, _, faults) = shell.run("users delete admin@example.com --yes").await;
    assert_eq!(code, 4, "{faults}");
    assert!(
        faults.contains("keeps at least one active user"),
        "{faults}"
    );
}

#[actix_web::test]
async fn roles_on_the_system_are_given_and_taken() {
    let app = TestApp::spawn().await;
    let anna = app.user("anna").await;
    let shell = Shell::on(&app).await;
    assert_eq!(anna.get("/api/admin/users").await.status, 403);
    shell
        .json("assign anna auditor --for 8h --reason Audit")
        .await;
    assert_eq!(anna.get("/api/admin/users").await.status, 200);
    let roles = anna.get("/api/users/me/roles").await;
    assert!(
        roles.body["items"][0]["expires_at"].is_string(),
        "{}",
        roles.body
    );
    assert_eq!(shell.status("assign anna auditor").await, 4, "held already");
    shell.json("remove anna auditor").await;
    assert_eq!(anna.get("/api/admin/users").await.status, 403);
    assert_eq!(shell.status("remove anna auditor").await, 3);
    assert_eq!(
        shell.status("assign anna owner").await,
        4,
        "no role of the system"
    );
    assert_eq!(
        shell.status("remove admin@example.com admin").await,
        4,
        "the last one"
    );
}

#[actix_web::test]
async fn whoever_is_locked_out_is_let_in_for_a_while() {
    let app = TestApp::spawn().await;
    let mut shell = Shell::on(&app).await;
    let way = shell.json("recover --for 30m").await;
    let login = json!({"login": way["login"], "password": way["password"]});
    let first = app.anonymous().post("/api/auth/login", login).await;
    assert_eq!(
        first.body["status"], "password_change_required",
        "{}",
        first.body
    );
    let change = json!({
        "password_change_token": first.body["password_change_token"], "new_password": PASSWORD,
    });
    let changed = app
        .anonymous()
        .post("/api/auth/password/change", change)
        .await;
    let rescuer = app.anonymous().with_tokens(&changed);
    assert_eq!(rescuer.get("/api/admin/users").await.status, 200);
    let log = rescuer.get("/api/admin/audit?action=user.recovered").await;
    assert_eq!(log.body["items"][0]["actor_type"], "program");
    assert_eq!(log.body["items"][0]["target_id"], way["id"]);
    // It ends by itself: the role to the second, the account with the next tidying.
    app.clock.advance(chrono::TimeDelta::minutes(31));
    let refresh = json!({"refresh_token": rescuer.refresh_token});
    let answer = app.anonymous().post("/api/auth/refresh", refresh).await;
    let late = app.anonymous().with_tokens(&answer);
    assert_eq!(late.get("/api/admin/users").await.status, 403);
    gatepost::admin::recovery::close_expired(&app.state)
        .await
        .unwrap();
    assert_eq!(late.get("/api/users/me").await.status, 401);
    let again = json!({"login": way["login"], "password": PASSWORD});
    let refused = app.anonymous().post("/api/auth/login", again).await;
    assert_eq!(refused.problem(), "account_disabled");
    assert_eq!(
        app.admin().await.get("/api/admin/users").await.status,
        200,
        "the first one stays"
    );
    // Also where the settings are those of production and only two of them are there.
    shell
        .settings
        .push(("ENVIRONMENT", "production".to_owned()));
    shell
        .settings
        .push(("ARGON2_MEMORY_KIB", "19456".to_owned()));
    let way = shell.json("recover --email rescue@example.com").await;
    assert_eq!(way["login"], "rescue@example.com");
}

#[actix_web::test]
async fn a_disabled_and_locked_administrator_is_let_in_again() {
    let app = TestApp::spawn().await;
    let anna = app.user("anna").await;
    let admin = app.admin().await;
    admin
        .put(
            &format!("/api/admin/users/{}/disable", anna.user_id),
            json!({}),
        )
        .await;
    let shell = Shell::on(&app).await;
    let (code, _, faults) = shell.run("recover --email anna@example.com").await;
    assert_eq!(code, 1, "{faults}");
    assert!(faults.contains("--user"), "{faults}");
    let (code, out, faults) = shell.run("recover --user anna").await;
    assert_eq!(code, 0, "{faults}");
    assert!(
        out.contains("anna@example.com") && out.contains("shown once"),
        "{out}"
    );
    assert!(faults.contains("break-glass access was given"), "{faults}");
    let password = out
        .split("password  ")
        .nth(1)
        .unwrap()
        .split("  ")
        .next()
        .unwrap();
    assert!(!faults.contains(password), "the password is not in the log");
    let login = json!({"login": "anna", "password": password});
    let answer = app.anonymous().post("/api/auth/login", login).await;
    assert_eq!(
        answer.body["status"], "password_change_required",
        "{}",
        answer.body
    );
    assert_eq!(shell.status("recover --user nobody").await, 3);
    assert_eq!(shell.status("recover --for 2d").await, 2);
}

#[actix_web::test]
async fn the_report_says_what_will_be_closed() {
    let app = TestApp::with(&[("REGISTRATION_MODE", "open")]).await;
    app.user("anna").await;
    let mut shell = Shell::on(&app).await;
    let old = "UPDATE users SET created_at = now() - interval '80 days', last_login_at = NULL, \
               last_seen_at = NULL, approved_at = NULL";
    sqlx::raw_sql(old)
        .execute(&mut app.sql().await)
        .await
        .unwrap();
    let (code, out, faults) = shell.run("dormant").await;
    assert_eq!((code, out.lines().count()), (0, 1), "{faults}");
    assert!(faults.contains("DORMANT_AFTER_DAYS is not set"), "{faults}");
    shell.settings.push(("DORMANT_AFTER_DAYS", "90".to_owned()));
    let report = shell.json("dormant").await;
    assert_eq!(
        report.as_array().unwrap().len(),
        1,
        "break-glass administrators are left alone"
    );
    assert_eq!(
        (&report[0]["email"], &report[0]["next"]),
        (&json!("anna@example.com"), &json!("warn"))
    );
}

#[actix_web::test]
async fn another_secret_opens_nothing() {
    let app = TestApp::spawn().await;
    let mut shell = Shell::on(&app).await;
    shell.settings[0].1 = secret_key('b');
    let (code, _, faults) = shell.run("users list").await;
    assert_eq!(code, 1, "{faults}");
    assert!(faults.contains("SECRET_KEY is not the one"), "{faults}");
    shell.settings.clear();
    let (code, _, faults) = shell.run("recover").await;
    assert_eq!(code, 1, "{faults}");
    assert!(faults.contains("SECRET_KEY is not set"), "{faults}");
}

/// The commands of a guide, as they stand there.
fn commands(guide: &str) -> String {
    let blocks = guide.split("```sh\n").skip(1);
    let commands: Vec<_> = blocks
        .filter_map(|block| block.split("```").next())
        .collect();
    assert!(commands.len() > 5);
    commands.concat()
}

#[actix_web::test]
async fn the_commands_of_the_guide_run_as_they_stand_there() {
    let app = TestApp::spawn().await;
    let shell = Shell::on(&app).await;
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_gatepost"));
    let run = Command::new("bash")
        .arg("-euxo")
        .arg("pipefail")
        .arg("-c")
        .arg(commands(include_str!(
            "../../../../docs/guides/administration.md"
        )))
        .env_clear()
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", program.parent().unwrap().display()),
        )
        .env("DATABASE_URL", &shell.url)
        .env("SECRET_KEY", secret_key('a'))
        .current_dir(&shell.folder)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let faults = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{faults}");
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(told.contains("bob@example.com was erased."), "{told}");
}
