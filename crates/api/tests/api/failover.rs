//! A standby that streams takes over from its primary, under load.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    guides,
    harness::{Client, PASSWORD, TestApp},
    own_server::{OwnServer, api_url_at},
};

const SETTINGS: [(&str, &str); 2] = [
    ("REGISTRATION_MODE", "open"),
    ("DATABASE_STATEMENT_TIMEOUT", "3s"),
];

struct Pair {
    primary: OwnServer,
    standby: OwnServer,
    app: TestApp,
}

impl Pair {
    async fn start() -> Self {
        let primary = OwnServer::start();
        primary.set_up().await;
        let standby = primary.standby();
        let streams = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        primary.until("postgres", streams, "1").await;
        let url = Self::url_of(&primary, &standby);
        let app = TestApp::reaching(&url, &SETTINGS).await;
        Self {
            primary,
            standby,
            app,
        }
    }

    fn url_of(primary: &OwnServer, standby: &OwnServer) -> String {
        api_url_at(&[primary.port, standby.port], "connect_timeout=2")
    }

    fn url(&self) -> String {
        Self::url_of(&self.primary, &self.standby)
    }

    async fn replicate_synchronously(&self) {
        let all = "ALTER SYSTEM SET synchronous_standby_names = '*'";
        self.primary.sql("postgres", all);
        self.primary.reload();
        let is_so = "SELECT sync_state FROM pg_stat_replication";
        self.primary.until("postgres", is_so, "sync").await;
    }

    /// The primary dies, and the standby takes its place. Returns when it died.
    fn fail_over(&self) -> Instant {
        self.primary.stop("immediate");
        let died = Instant::now();
        self.standby.promote();
        died
    }
}

/// What was acknowledged.
#[derive(Default)]
struct Log {
    registered: Mutex<Vec<String>>,
    revoked: Mutex<Vec<Client>>,
    statuses: Mutex<Vec<u16>>,
    last_success: Mutex<Option<Instant>>,
}

/// Registers people, logs them in and out, until told to stop.
async fn load(
    client: Client,
    worker: usize,
    log: Arc<Log>,
    stop: Arc<AtomicBool>,
    number: Arc<AtomicUsize>,
) {
    while !stop.load(Ordering::SeqCst) {
        let name = format!("w{worker}n{}", number.fetch_add(1, Ordering::SeqCst));
        let email = format!("{name}@example.com");
        let new =
            json!({"email": email, "username": name, "password": PASSWORD, "display_name": name});
        let answer = client.post("/api/register", new).await;
        log.statuses.lock().unwrap().push(answer.status);
        if answer.status != 202 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        log.registered.lock().unwrap().push(email.clone());
        *log.last_success.lock().unwrap() = Some(Instant::now());
        let login = client
            .post(
                "/api/auth/login",
                json!({"login": email, "password": PASSWORD}),
            )
            .await;
        log.statuses.lock().unwrap().push(login.status);
        if login.status != 200 {
            continue;
        }
        let person = client.clone().with_tokens(&login);
        let out = person.post("/api/auth/logout", json!({})).await;
        log.statuses.lock().unwrap().push(out.status);
        if out.status == 204 || out.status == 200 {
            log.revoked.lock().unwrap().push(person);
        }
    }
}

async fn is_ready(client: &Client) -> u16 {
    client.get("/api/health/ready").await.status
}

/// Waits for a success, and returns how long it took since `since`.
async fn success_after(client: &Client, since: Instant) -> Duration {
    loop {
        if is_ready(client).await == 200 {
            return since.elapsed();
        }
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "it never came back"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[actix_web::test]
async fn a_promoted_standby_has_every_acknowledged_write_and_no_revoked_token() {
    let pair = Pair::start().await;
    pair.replicate_synchronously().await;
    let stays = pair.app.user("stays").await;
    assert_eq!(stays.get("/api/users/me").await.status, 200);
    let (log, stop) = (Arc::new(Log::default()), Arc::new(AtomicBool::new(false)));
    let number = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            actix_web::rt::spawn(load(
                pair.app.anonymous(),
                worker,
                Arc::clone(&log),
                Arc::clone(&stop),
                Arc::clone(&number),
            ))
        })
        .collect();
    while log.revoked.lock().unwrap().len() < 8 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    pair.primary.stop("immediate");
    let died = Instant::now();
    let anonymous = pair.app.anonymous();
    let down = anonymous.get("/api/health/ready").await;
    assert_eq!(down.status, 503, "{}", down.body);
    assert!(down.body["waiting_for"].to_string().contains("database"));
    assert_eq!(anonymous.get("/api/health/live").await.status, 200);
    pair.standby.promote();
    let took = success_after(&anonymous, died).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    let before = log.registered.lock().unwrap().len();
    let since = Instant::now();
    while log.registered.lock().unwrap().len() < before + 4 {
        assert!(
            since.elapsed() < Duration::from_secs(10),
            "no write succeeds"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await.unwrap();
    }
    println!("first success {took:?} after the primary died");

    for status in log.statuses.lock().unwrap().iter() {
        // 401: the session ended with its epoch between login and logout.
        assert!([200, 202, 204, 401, 503].contains(status), "{status}");
    }
    let registered = log.registered.lock().unwrap();
    let there = pair.standby.sql("gatepost", "SELECT email FROM users");
    for email in registered.iter() {
        assert!(there.lines().any(|line| line == email), "{email} is lost");
    }
    for person in log.revoked.lock().unwrap().iter() {
        assert_eq!(person.get("/api/users/me").await.status, 401);
    }
    assert_eq!(stays.get("/api/users/me").await.status, 401);
    assert_eq!(
        pair.app
            .log_in("stays@example.com")
            .await
            .get("/api/users/me")
            .await
            .status,
        200
    );
    let bumps = "SELECT count(*) FROM audit_log WHERE action = 'sessions.epoch_bumped'";
    assert_eq!(pair.standby.sql("gatepost", bumps), "1");
}

#[actix_web::test]
async fn the_guide_to_failover_runs_as_written() {
    let pair = Pair::start().await;
    let url = |server: &OwnServer| {
        let port = server.port;
        format!("postgres://postgres@127.0.0.1:{port}/gatepost")
    };
    let (primary, standby) = (url(&pair.primary), url(&pair.standby));
    let variables = [("PRIMARY", primary.as_str()), ("STANDBY", &standby)];
    let mut told = String::new();
    for code in guides::commands(include_str!("../../../../docs/guides/failover.md")) {
        if code.contains("pg_promote") {
            pair.primary.stop("immediate");
        }
        told += &guides::shell(code, &pair.app.address, &variables).await;
    }
    for expected in ["sync", "\"status\":\"ok\"", "new primary: timeline 2"] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[actix_web::test]
async fn a_revocation_that_was_lost_revives_no_token() {
    let pair = Pair::start().await;
    let (thief, owner) = (
        pair.app.user("ada").await,
        pair.app.log_in("ada@example.com").await,
    );
    // From here on the standby hears nothing.
    pair.standby
        .sql("postgres", "ALTER SYSTEM SET primary_conninfo = ''");
    pair.standby.reload();
    let streams = "SELECT count(*) FROM pg_stat_replication";
    pair.primary.until("postgres", streams, "0").await;
    let ended = owner.post("/api/auth/logout-all", json!({})).await;
    assert!(ended.status < 300, "{}", ended.body);
    assert_eq!(thief.get("/api/users/me").await.status, 401);
    let died = pair.fail_over();
    let took = success_after(&pair.app.anonymous(), died).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    let live = "SELECT count(*) FROM sessions WHERE revoked_at IS NULL AND user_id = \
                (SELECT id FROM users WHERE username = 'ada')";
    assert_eq!(pair.standby.sql("gatepost", live), "2", "the loss is real");
    for person in [&thief, &owner] {
        assert_eq!(person.get("/api/users/me").await.status, 401);
        let refresh = json!({"refresh_token": person.refresh_token});
        let refreshed = person.post("/api/auth/refresh", refresh).await;
        assert_eq!(refreshed.status, 401, "{}", refreshed.body);
    }
    pair.app.log_in("ada@example.com").await;
}

#[actix_web::test]
async fn a_former_primary_that_comes_back_is_refused() {
    let pair = Pair::start().await;
    let died = pair.fail_over();
    let anonymous = pair.app.anonymous();
    success_after(&anonymous, died).await;
    // It stands first in the list, takes writes, and has an older history.
    pair.primary.start_again();
    let users = "SELECT count(*) FROM users";
    let before = pair.primary.sql("gatepost", users);
    pair.app.user("new").await;
    let fresh = pair.app.also_reaching(&pair.url(), &SETTINGS).await;
    fresh.user("newer").await;
    assert_eq!(pair.primary.sql("gatepost", users), before);
    pair.standby.stop("immediate");
    let new = json!({"email": "x@example.com", "username": "xavier", "password": PASSWORD, "display_name": "x"});
    for app in [&pair.app, &fresh] {
        let answer = app.anonymous().post("/api/register", new.clone()).await;
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert_eq!(answer.header("retry-after"), "2");
        assert_eq!(is_ready(&app.anonymous()).await, 503);
    }
    assert_eq!(pair.primary.sql("gatepost", users), before);
}
