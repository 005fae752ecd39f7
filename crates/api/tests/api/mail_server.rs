//! The program itself, as a process of its own, and a mail server that demands encryption and a
//! login: what is written is sent, once, whatever happens in between.

use std::{net::TcpListener, process::Stdio, time::Duration};

use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::process::{Child, Command};

use crate::{
    databases,
    harness::PASSWORD,
    smtp_sink::{Certificate, ENCRYPTED, SmtpSink},
};

/// A running `gatepost serve`.
struct Process {
    child: Child,
    address: String,
    metrics: String,
    _folder: tempfile::TempDir,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Asks again and again, for half a minute at most.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = ask().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} does not come")
}

async fn get(url: &str) -> Option<(u16, String)> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.get(url).send().await.ok()?;
    Some((response.status().as_u16(), response.text().await.ok()?))
}

impl Process {
    async fn start(database: &str, smtp_url: &str, certificate: &Certificate) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, metrics_port) = (free_port(), free_port());
        let database_url = databases::api_url(database).await;
        let child = Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .arg("serve")
            .current_dir(folder.path())
            .env("APP_PORT", port.to_string())
            .env("METRICS_PORT", metrics_port.to_string())
            .env("DATABASE_URL", database_url)
            .env(
                "SECRET_KEY",
                "cf852a1d62a065ef81c39ae6d1b27d8f1cc92fe8fd537704eb950b45e0ad8a3b",
            )
            .env(
                "CSRF_SECRET_KEY",
                "25604402d91a0e9864a90ce2c1a046da7d275e337e4bd6800d1d96dfd12cface",
            )
            .env("REGISTRATION_MODE", "open")
            .env("SMTP_URL", smtp_url)
            .env("MAIL_FROM", "no-reply@example.com")
            .env("SSL_CERT_FILE", certificate.authority())
            .env("LOG_LEVEL", "warn")
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let process = Self {
            child,
            address: format!("http://127.0.0.1:{port}"),
            metrics: format!("http://127.0.0.1:{metrics_port}/metrics"),
            _folder: folder,
        };
        let ready = format!("{}/api/health/ready", process.address);
        until("readiness", async || {
            get(&ready).await.filter(|(status, _)| *status == 200)
        })
        .await;
        process
    }

    async fn register(&self) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let new = json!({"email": "anna@example.com", "password": PASSWORD});
        let url = format!("{}/api/register", self.address);
        let answer = client.post(url).json(&new).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        let answer: serde_json::Value = answer.json().await.unwrap();
        // Because mail is set up, and nothing else was said.
        assert_eq!(answer["status"], "pending_verification");
    }

    /// Until so many mails came to this end.
    async fn counted(&self, outcome: &str, number: u32) {
        let line = format!("gatepost_mails_total{{outcome=\"{outcome}\"}} {number}");
        until(&line, async || {
            let (_, text) = get(&self.metrics).await?;
            text.lines().any(|found| found == line).then_some(())
        })
        .await;
    }
}

struct Row {
    attempts: i32,
    is_sent: bool,
    error: String,
}

async fn row(database: &mut PgConnection) -> Row {
    let sql = "SELECT attempts, sent_at IS NOT NULL, coalesce(error, '') FROM outbox";
    let (attempts, is_sent, error) = sqlx::query_as(sql).fetch_one(database).await.unwrap();
    Row {
        attempts,
        is_sent,
        error,
    }
}

/// As if the pause before the next attempt were over.
async fn hurry(database: &mut PgConnection) {
    sqlx::query("UPDATE outbox SET next_attempt_at = now()")
        .execute(database)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_refused_login_is_recorded_and_the_mail_goes_out_encrypted_once_it_is_taken() {
    let certificate = Certificate::make().await;
    let sink = SmtpSink::start_tls(&certificate).await;
    let name = databases::create().await;
    let process = Process::start(&name, &sink.secure_url(), &certificate).await;
    let mut database = databases::superuser(&name).await;
    process.register().await;
    process.counted("postponed", 1).await;
    let waiting = row(&mut database).await;
    assert!(waiting.error.contains("535"), "{}", waiting.error);
    assert!(!waiting.error.contains("hunter2"));
    assert_eq!((waiting.attempts, waiting.is_sent), (1, false));
    assert!(sink.mails().is_empty());

    sink.take_logins();
    hurry(&mut database).await;
    process.counted("sent", 1).await;
    let mails = sink.mails();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].content.contains("/account/verify-email?token"));
    let commands = sink.commands();
    let encrypted = commands.iter().position(|line| line == ENCRYPTED).unwrap();
    let revealing = |line: &String| {
        ["AUTH", "MAIL", "RCPT"]
            .iter()
            .any(|verb| line.starts_with(verb))
    };
    assert!(!commands[..encrypted].iter().any(revealing), "{commands:?}");
    let sent = row(&mut database).await;
    assert_eq!((sent.is_sent, sent.error.as_str()), (true, ""));
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_server_whose_certificate_nobody_vouches_for_gets_neither_login_nor_mail() {
    let (trusted, other) = (Certificate::make().await, Certificate::make().await);
    let sink = SmtpSink::start_tls(&other).await;
    sink.take_logins();
    let name = databases::create().await;
    let process = Process::start(&name, &sink.secure_url(), &trusted).await;
    process.register().await;
    process.counted("postponed", 1).await;
    let waiting = row(&mut databases::superuser(&name).await).await;
    assert!(!waiting.error.is_empty() && !waiting.is_sent);
    assert!(!sink.commands().iter().any(|line| line.starts_with("AUTH")));
}

#[tokio::test]
async fn a_process_that_is_killed_before_it_sends_loses_no_mail_and_doubles_none() {
    let certificate = Certificate::make().await;
    let sink = SmtpSink::start_tls(&certificate).await;
    sink.take_logins();
    sink.hold(true);
    let name = databases::create().await;
    let mut database = databases::superuser(&name).await;
    let mut process = Process::start(&name, &sink.secure_url(), &certificate).await;
    // What was answered is committed; the server does not say a word.
    process.register().await;
    process.child.kill().await.unwrap();
    drop(process);
    let waiting = row(&mut database).await;
    assert!(!waiting.is_sent && sink.mails().is_empty());

    sink.hold(false);
    hurry(&mut database).await;
    let process = Process::start(&name, &sink.secure_url(), &certificate).await;
    process.counted("sent", 1).await;
    assert!(row(&mut database).await.is_sent);
    assert_eq!(sink.mails().len(), 1);
    // Another start finds nothing to do.
    drop(process);
    let process = Process::start(&name, &sink.secure_url(), &certificate).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let forgot = format!("{}/api/auth/password/forgot", process.address);
    let asked = json!({"email": "anna@example.com"});
    client.post(forgot).json(&asked).send().await.unwrap();
    process.counted("sent", 1).await;
    let mails = sink.mails();
    assert_eq!(mails.len(), 2);
    assert!(mails[1].content.contains("reset-password"));
}
