//! PgBouncer in transaction mode between the program and its database.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{Child, Stdio},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use gatepost::database::{migrate::migrate, pool, url::DatabaseUrl};
use serde_json::json;

use crate::{
    databases::read_config,
    guides,
    harness::TestApp,
    own_server::{OwnServer, api_url_at, as_server_raw, free_port, run},
};

/// Ends with its process when dropped.
struct PgBouncer {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl PgBouncer {
    /// In front of `server`, with as few connections to it as make many share one.
    fn before(server: &OwnServer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let port = free_port();
        let users = folder.path().join("users.txt");
        fs::write(
            &users,
            "\"gatepost_api\" \"pw\"\n\"gatepost_owner\" \"pw\"\n",
        )
        .unwrap();
        let settings = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\ngatepost = host=127.0.0.1 port={} dbname=gatepost\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = trust\nauth_file = {}\n\
             pool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 100\nunix_socket_dir =\n",
            server.port,
            users.display(),
        );
        fs::write(&settings, text).unwrap();
        let mut command = as_server_raw("/usr/sbin/pgbouncer");
        let mut process = command
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        let mut lines = log.lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("process up")));
        // Nobody reads on, so nobody may write into a pipe that is full.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            port,
            folder,
        }
    }

    fn url(&self) -> String {
        api_url_at(&[self.port], "sslmode=disable&statement-cache-capacity=0")
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // `runuser` passes it on; a kill would leave the child of it behind.
        let pid = self.process.id().to_string();
        run(std::process::Command::new("kill").args(["-TERM", &pid]));
        self.process.wait().ok();
        debug_assert!(self.folder.path().exists());
    }
}

async fn server() -> OwnServer {
    let server = OwnServer::start();
    server.set_up().await;
    server
}

/// What people do in a day: each step in transactions of its own.
async fn a_day(app: &TestApp) {
    let admin = app.admin().await;
    let people = join_all((0..6).map(|number| async move {
        let name = format!("person{number}");
        let person = app.user(&name).await;
        for _ in 0..3 {
            assert_eq!(person.get("/api/users/me").await.status, 200);
            assert_eq!(person.get("/api/users/me/sessions").await.status, 200);
        }
        let refresh = json!({"refresh_token": person.refresh_token});
        let refreshed = person.post("/api/auth/refresh", refresh).await;
        assert_eq!(refreshed.status, 200, "{}", refreshed.body);
        person.with_tokens(&refreshed)
    }))
    .await;
    let made = join_all((0..8).map(|number| {
        let new = json!({"name": format!("Org {number}"), "slug": format!("org-{number}")});
        admin.post("/api/organizations", new)
    }))
    .await;
    for answer in &made {
        assert_eq!(answer.status, 201, "{}", answer.body);
        let listed = admin
            .get(&format!("/api/organizations/{}", answer.id()))
            .await;
        assert_eq!(listed.status, 200, "{}", listed.body);
        // Nobody sees what belongs to others, whoever used the connection before.
        let hidden = people[0]
            .get(&format!("/api/organizations/{}", answer.id()))
            .await;
        assert_eq!(hidden.status, 404, "{}", hidden.body);
    }
    for person in people {
        let out = person.post("/api/auth/logout", json!({})).await;
        assert!(out.status < 300, "{}", out.body);
        assert_eq!(person.get("/api/users/me").await.status, 401);
    }
}

#[actix_web::test]
async fn the_api_works_through_a_pooler_in_transaction_mode() {
    let server = server().await;
    let pooler = PgBouncer::before(&server);
    let direct = server.api_url("");
    let settings = [
        ("REGISTRATION_MODE", "open"),
        ("DATABASE_LISTEN_URL", direct.as_str()),
    ];
    let app = TestApp::reaching(&pooler.url(), &settings).await;
    a_day(&app).await;
    assert!(app.state.cache.is_listening());
    // What another instance changes is heard of, although the pooler drops LISTEN.
    let other = app.also_reaching(&pooler.url(), &settings).await;
    let ada = app.user("ada").await;
    assert_eq!(ada.at(&other).get("/api/users/me").await.status, 200);
    ada.post("/api/auth/logout", json!({})).await;
    for _ in 0..100 {
        if ada.at(&other).get("/api/users/me").await.status == 401 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a revocation was not heard of within a second");
}

#[actix_web::test]
async fn without_a_direct_url_nothing_is_answered_from_memory() {
    let server = server().await;
    let pooler = PgBouncer::before(&server);
    let settings = [("REGISTRATION_MODE", "open")];
    let app = TestApp::reaching(&pooler.url(), &settings).await;
    let other = app.also_reaching(&pooler.url(), &settings).await;
    let ada = app.user("ada").await;
    assert_eq!(ada.at(&other).get("/api/users/me").await.status, 200);
    ada.post("/api/auth/logout", json!({})).await;
    assert_eq!(ada.at(&other).get("/api/users/me").await.status, 401);
    let health = ada.get("/api/health").await;
    assert_eq!(health.body["checks"]["database"]["status"], "degraded");
    let note = health.body["checks"]["database"]["note"].to_string();
    assert!(note.contains("nothing is answered from memory"), "{note}");
    assert_eq!(ada.get("/api/health/ready").await.status, 200);
    let direct = format!("postgres://postgres@127.0.0.1:{}/gatepost", server.port);
    for code in guides::commands(include_str!("../../../../docs/guides/pgbouncer.md")) {
        guides::shell(code, &app.address, &[("DIRECT", &direct)]).await;
    }
}

#[actix_web::test]
async fn a_schema_of_its_own_is_found_in_each_transaction() {
    let server = OwnServer::start();
    server.sql("postgres", "CREATE ROLE gatepost_owner LOGIN");
    server.sql("postgres", "CREATE ROLE gatepost_api LOGIN");
    server.sql("postgres", "CREATE DATABASE gatepost OWNER gatepost_owner");
    let owner = format!(
        "postgres://gatepost_owner@127.0.0.1:{}/gatepost",
        server.port
    );
    let config = read_config(&[("DATABASE_URL", &owner), ("DATABASE_SCHEMA", "auth")]);
    let url = DatabaseUrl::parse(&owner).unwrap();
    migrate(&config.database, &url, "gatepost_api")
        .await
        .unwrap();
    let pooler = PgBouncer::before(&server);
    let direct = server.api_url("");
    let settings = [
        ("REGISTRATION_MODE", "open"),
        ("DATABASE_SCHEMA", "auth"),
        ("DATABASE_LISTEN_URL", direct.as_str()),
    ];
    let app = TestApp::reaching(&pooler.url(), &settings).await;
    a_day(&app).await;
    assert_eq!(
        server.sql("gatepost", "SELECT count(*) FROM auth.users"),
        "7"
    );
}

#[actix_web::test]
async fn a_pooler_that_nobody_spoke_of_is_named() {
    let server = server().await;
    let pooler = PgBouncer::before(&server);
    let url = api_url_at(&[pooler.port], "sslmode=disable");
    let config = read_config(&[("DATABASE_URL", &url)]);
    let url = config.database.url.clone().unwrap();
    let stopping = Arc::default();
    let opened = pool::open(&config.database, &url, &stopping).await;
    let Err(error) = opened else {
        panic!("options were taken");
    };
    let error = format!("{error:#}");
    assert!(error.contains("statement-cache-capacity=0"), "{error}");
}
