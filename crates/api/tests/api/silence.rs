//! A peer that vanished, in all ways that networks know: nothing waits for it for longer than its limit.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use crate::{
    harness::TestApp,
    own_server::{OwnServer, api_url_at, path_of},
    tcp_proxy::{Mode, Proxy},
};

const STATEMENT: Duration = Duration::from_secs(2);
const SETTINGS: [(&str, &str); 3] = [
    ("REGISTRATION_MODE", "open"),
    ("DATABASE_STATEMENT_TIMEOUT", "2s"),
    ("DATABASE_ACQUIRE_TIMEOUT", "2s"),
];

struct Line {
    server: OwnServer,
    proxy: Proxy,
    app: TestApp,
}

async fn line() -> Line {
    let server = OwnServer::start();
    server.set_up().await;
    let proxy = Proxy::to(server.port).await;
    let url = api_url_at(&[proxy.port], "connect_timeout=2");
    let app = TestApp::reaching(&url, &SETTINGS).await;
    Line { server, proxy, app }
}

#[actix_web::test]
async fn a_peer_that_vanished_ends_in_a_503_and_is_forgotten() {
    let line = line().await;
    let person = line.app.user("ada").await;
    for mode in [Mode::HalfOpen, Mode::BlackHole, Mode::Reset] {
        // Several connections in the pool, fresh ones.
        let many = || join_all((0..6).map(|_| person.get("/api/users/me/sessions")));
        for answer in many().await {
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
        line.proxy.set(mode);
        let since = Instant::now();
        for answer in many().await {
            assert_eq!(answer.status, 503, "{mode:?}: {}", answer.body);
            assert_eq!(answer.problem(), "database_unavailable");
            assert_eq!(answer.header("retry-after"), "2");
        }
        let took = since.elapsed();
        println!("{mode:?}: {took:?}");
        assert!(
            took < STATEMENT + Duration::from_secs(2),
            "{mode:?}: {took:?}"
        );
        assert_eq!(person.get("/api/health/ready").await.status, 503);
        line.proxy.set(Mode::Pass);
        let since = Instant::now();
        while person.get("/api/users/me/sessions").await.status != 200 {
            assert!(since.elapsed() < Duration::from_secs(5), "{mode:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("{mode:?}: back after {:?}", since.elapsed());
        // None of the places in the pool is lost.
        let since = Instant::now();
        for answer in join_all((0..24).map(|_| person.get("/api/users/me/sessions"))).await {
            assert_eq!(answer.status, 200, "{mode:?}: {}", answer.body);
        }
        assert!(since.elapsed() < Duration::from_secs(2), "{mode:?}");
        while !line.app.state.cache.is_listening() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[actix_web::test]
async fn a_commit_whose_answer_is_lost_is_asked_for_again_by_its_key() {
    let line = line().await;
    let admin = line.app.admin().await;
    let new = json!({"name": "Acme", "slug": "acme"});
    let key = [("idempotency-key", "3f6e4f0e-once")];
    line.proxy.set(Mode::CutAfterCommit);
    let unknown = admin
        .post_with("/api/organizations", new.clone(), &key)
        .await;
    assert_eq!(unknown.status, 503, "{}", unknown.body);
    assert!(line.proxy.cuts() > 0);
    line.proxy.set(Mode::Pass);
    let known = loop {
        let answer = admin
            .post_with("/api/organizations", new.clone(), &key)
            .await;
        if answer.status != 503 {
            break answer;
        }
    };
    assert_eq!(known.status, 201, "{}", known.body);
    let count = |sql: &str| line.server.sql("gatepost", sql);
    assert_eq!(count("SELECT count(*) FROM organizations"), "1");
    let audited = "SELECT count(*) FROM audit_log WHERE action = 'organization.created'";
    assert_eq!(count(audited), "1");
}

#[actix_web::test]
async fn a_read_that_takes_too_long_is_stopped_by_the_server() {
    let line = line().await;
    let person = line.app.user("ada").await;
    // A lock that no transaction of a request has to wait for, but this read does.
    let (sender, receiver) = std::sync::mpsc::channel();
    let (port, folder) = (line.server.port, line.server.path().to_owned());
    let lock = std::thread::spawn(move || {
        let mut psql = std::process::Command::new(path_of("psql"));
        psql.args(["-qAt", "-U", "postgres", "-d", "gatepost", "-p"])
            .arg(port.to_string())
            .arg("-h")
            .arg(folder)
            .args(["-c", "BEGIN; LOCK TABLE sessions; SELECT pg_sleep(6)"]);
        let mut child = psql.spawn().unwrap();
        receiver.recv().ok();
        child.kill().ok();
        child.wait().ok();
    });
    let waits = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted";
    line.server.until("gatepost", waits, "1").await;
    let opened = line.proxy.opened();
    let since = Instant::now();
    let answer = person.get("/api/users/me/sessions").await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    let took = since.elapsed();
    assert!(took < STATEMENT + Duration::from_secs(2), "{took:?}");
    assert_eq!(line.proxy.opened(), opened, "the connection is still good");
    sender.send(()).ok();
    lock.join().unwrap();
}
