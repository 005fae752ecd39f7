//! Guides are run as they are written: their commands by a shell, their SQL by the database, with
//! the tokens that really came.

use std::process::Stdio;

use tokio::process::Command;

use crate::{databases, post::Post};

const EMAIL: &str = include_str!("../../../../docs/guides/email.md");
const PASSWORD_RESET: &str = include_str!("../../../../docs/guides/password-reset.md");
const ADA: &str = "ada@example.com";

/// The blocks of a guide: their language, and what stands in them.
fn blocks(guide: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = guide.split("```").collect();
    let inside = parts.iter().skip(1).step_by(2);
    inside.filter_map(|block| block.split_once('\n')).collect()
}

/// Puts the newest token of each kind in the place of `gpx_…`.
async fn with_tokens(post: &Post, code: &str, seen: &mut Vec<String>) -> String {
    let mut code = code.to_owned();
    for prefix in ["gpv_", "gpe_", "gpx_", "gpw_", "gpl_"] {
        let placeholder = format!("{prefix}…");
        if !code.contains(&placeholder) {
            continue;
        }
        let mut number = 1 + seen
            .iter()
            .filter(|token| token.starts_with(prefix))
            .count();
        let to = if prefix == "gpe_" {
            "ada@example.org"
        } else {
            ADA
        };
        let mut token = post.token(to, prefix, number).await;
        while post.mails(to, prefix).len() > number {
            number += 1;
            token = post.token(to, prefix, number).await;
        }
        code = code.replace(&placeholder, &token);
        seen.push(token);
    }
    code
}

/// The blocks of a guide that a shell runs.
pub fn commands(guide: &str) -> Vec<&str> {
    let blocks = blocks(guide).into_iter();
    blocks
        .filter_map(|(language, code)| (language == "sh").then_some(code))
        .collect()
}

/// Runs what stands in a guide, and returns what it says.
pub async fn shell(code: &str, address: &str, variables: &[(&str, &str)]) -> String {
    let run = Command::new("bash")
        .args(["-euo", "pipefail", "-c"])
        .arg(code.replace("http://localhost:8004", address))
        .envs(variables.iter().copied())
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout).into_owned();
    let faults = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{code}\n{told}\n{faults}");
    told
}

async fn run(post: &Post, guide: &str) {
    let mut seen = Vec::new();
    let blocks = blocks(guide);
    assert!(blocks.len() > 3);
    for (language, code) in blocks {
        let code = with_tokens(post, code, &mut seen).await;
        match language {
            "sh" => {
                let code = code.replace("http://localhost:8004", &post.app.address);
                let output = Command::new("bash")
                    .args(["-euo", "pipefail", "-c", &code])
                    .env("NO_PROXY", "127.0.0.1")
                    .stdin(Stdio::null())
                    .output()
                    .await
                    .unwrap();
                let told = String::from_utf8_lossy(&output.stdout);
                let faults = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{code}\n{told}\n{faults}");
            }
            "sql" => {
                let sql = sqlx::AssertSqlSafe(code);
                sqlx::query(sql)
                    .fetch_all(&mut post.app.sql().await)
                    .await
                    .unwrap();
            }
            other => panic!("nothing runs {other}"),
        }
    }
}

#[actix_web::test]
async fn the_guide_to_email_runs_as_written() {
    let post = Post::verifying("open").await;
    run(&post, EMAIL).await;
}

#[actix_web::test]
async fn the_guide_to_forgotten_passwords_runs_as_written() {
    let post = Post::open().await;
    post.app.user("ada").await;
    run(&post, PASSWORD_RESET).await;
}

#[actix_web::test]
async fn the_guide_to_decisions_runs_as_written() {
    let app = crate::harness::TestApp::spawn().await;
    app.admin().await;
    let code: String = blocks(include_str!("../../../../docs/guides/authzen.md"))
        .into_iter()
        .map(|(_, code)| code)
        .collect();
    let run = Command::new("bash")
        .args(["-euo", "pipefail", "-c"])
        .arg(code.replace("http://localhost:8004", &app.address))
        .env("ADMIN_EMAIL", "admin@example.com")
        .env("ADMIN_PASSWORD", crate::harness::PASSWORD)
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    let faults = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{told}\n{faults}");
    for line in ["[true,false,true]", "\n1\n2\n3\n", "\"editor\""] {
        assert!(told.contains(line), "{line}: {told}");
    }
}

#[actix_web::test]
async fn the_guide_to_migrating_runs_as_written_and_prints_what_it_says() {
    let app = crate::harness::TestApp::spawn().await;
    let folder = tempfile::TempDir::new().unwrap();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::os::unix::fs::symlink(root.join("examples"), folder.path().join("examples")).unwrap();
    let programs = std::path::Path::new(env!("CARGO_BIN_EXE_gatepost"));
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        programs.parent().unwrap().display()
    );
    let urls = [
        ("DATABASE_URL", app.sql_url().await),
        ("GATEKEEPER_DATABASE_URL", databases::foreign().await),
        ("AUTH_API_DATABASE_URL", databases::foreign().await),
    ];
    let blocks = blocks(include_str!(
        "../../../../docs/guides/migrating-to-gatepost.md"
    ));
    let mut told = String::new();
    for (language, code) in blocks {
        if language == "text" {
            assert_eq!(told, code);
            continue;
        }
        let run = Command::new("bash")
            .args(["-euo", "pipefail", "-c", code])
            .env_clear()
            .env("PATH", &path)
            .env("LOG_FORMAT", "json")
            .envs(urls.clone())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        told = String::from_utf8(run.stdout).unwrap();
        let faults = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{code}\n{told}\n{faults}");
    }
}

/// What a guide's commands run in: this program, the one that migrates beside it, and nothing else
/// of the developer's. What they leave running ends with them.
async fn run_as_operator(guide: &str, folder: &std::path::Path, variables: &[(&str, String)]) {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_gatepost"));
    let programs = program.parent().unwrap();
    if !programs.join("gatepost-migrate").exists() {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "migration"])
            .status();
        assert!(built.await.unwrap().success());
    }
    let code: String = blocks(guide)
        .into_iter()
        .filter(|(language, _)| *language == "sh")
        .map(|(_, code)| code)
        .collect();
    let run = Command::new("bash")
        .args(["-euo", "pipefail", "-c"])
        .arg(format!(
            "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\nexport PATH={}:$PATH\n{code}",
            programs.display()
        ))
        .current_dir(folder)
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    let faults = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{told}\n{faults}");
}

/// A port that is free now.
fn port() -> String {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port().to_string()
}

#[actix_web::test]
async fn the_guide_to_a_postgresql_of_ones_own_runs_as_written() {
    let name = databases::name("guide");
    let sql = format!("CREATE ROLE {name} LOGIN CREATEDB CREATEROLE PASSWORD 'of the admin'");
    let mut superuser = databases::superuser("postgres").await;
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .execute(&mut superuser)
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let admin = databases::url_of(&name, "of the admin", "postgres").await;
    std::fs::write(folder.path().join("admin_url"), admin).unwrap();
    // The shared server has a database and roles of these names.
    let guide = include_str!("../../../../docs/guides/external-postgresql.md");
    let own =
        format!("gatepost db setup - --database {name}_db --owner {name}_o --api-role {name}_a");
    let guide = guide.replace("gatepost db setup -", &own);
    let variables = [("APP_PORT", port()), ("METRICS_PORT", port())];
    run_as_operator(&guide, folder.path(), &variables).await;
}

#[actix_web::test]
async fn the_guide_to_tls_runs_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let admin = databases::superuser_url("postgres").await;
    std::fs::write(folder.path().join("admin_url"), admin).unwrap();
    let guide = include_str!("../../../../docs/guides/tls.md");
    run_as_operator(guide, folder.path(), &[]).await;
}

#[actix_web::test]
async fn the_guide_to_backups_runs_as_written() {
    let app = crate::harness::TestApp::spawn().await;
    app.user("anna").await;
    let spare = databases::empty().await;
    let variables = [
        ("DATABASE_URL", databases::api_url(&app.database).await),
        (
            "MIGRATION_DATABASE_URL",
            databases::owner_url(&app.database).await,
        ),
        ("SPARE_DATABASE_URL", databases::owner_url(&spare).await),
        ("SECRET_KEY", crate::harness::secret_key('a')),
    ];
    let folder = tempfile::tempdir().unwrap();
    let guide = include_str!("../../../../docs/guides/backup.md");
    run_as_operator(guide, folder.path(), &variables).await;
}
