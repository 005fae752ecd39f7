//! Forward auth: what a proxy is told, and a real nginx with the example of `deploy/nginx`.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};
use chrono::TimeDelta;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{
    api_keys::{by_key, secret},
    harness::{Answer, Client, TestApp},
    service_accounts::{hire, key_of, service_account},
    tenants::{Tenant, given},
};

const FORWARD: &str = "/api/auth/forward";

async fn verified(app: &TestApp, email: &str) {
    sqlx::query("UPDATE users SET email_verified_at = now() WHERE email = $1")
        .bind(email)
        .execute(&mut app.sql().await)
        .await
        .unwrap();
}

/// What is told of the sender of a request that may pass.
fn told(answer: &Answer) -> [&str; 3] {
    assert_eq!(answer.status, 200, "{answer:?}");
    ["x-auth-user", "x-auth-email", "x-auth-roles"].map(|name| answer.header(name))
}

#[actix_web::test]
async fn who_may_pass_is_told_by_three_headers() {
    let app = TestApp::spawn().await;
    let (admin, ada) = (app.admin().await, app.user("ada").await);
    let id = ada.user_id.as_str();
    // Nobody has proven that the address is theirs.
    assert_eq!(told(&ada.get(FORWARD).await), [id, "", ""]);
    verified(&app, "ada@example.com").await;
    given(&admin, &ada, "auditor", json!({"type": "system"})).await;
    let begun = Instant::now();
    let whole = [id, "ada@example.com", "auditor"];
    while told(&ada.get(FORWARD).await) != whole {
        assert!(begun.elapsed() < Duration::from_secs(1), "not heard of yet");
    }
    let keys = "/api/users/me/api-keys";
    let key = async |permissions: Value| {
        let made = ada
            .post(keys, json!({"name": "k", "permissions": permissions}))
            .await;
        by_key(&app, &secret(&made))
    };
    // A role that the key does not leave whole is not told.
    let reading = key(json!(["self:read"])).await;
    assert_eq!(
        told(&reading.get(FORWARD).await),
        [id, "ada@example.com", ""]
    );
    let all = key(json!(["*:read", "*:list"])).await;
    assert_eq!(told(&all.get(FORWARD).await), whole);
    // A key that does not open the profile speaks for nobody.
    let other = key(json!(["project:read"])).await;
    assert_eq!(other.get(FORWARD).await.status, 403);

    let robot = service_account(&admin, "robot").await;
    let made = key_of(&admin, &robot, json!(["self:read"])).await;
    let client = by_key(&app, &secret(&made));
    assert_eq!(told(&client.get(FORWARD).await), [robot.as_str(), "", ""]);

    let ended = ada.post("/api/auth/logout", json!({})).await;
    assert_eq!(ended.status, 204);
    assert_eq!(ada.get(FORWARD).await.status, 401);
    for anonymous in ["", "nonsense", "gp_x", &ada.refresh_token] {
        let mut client = app.anonymous();
        client.token = Some(anonymous.to_owned());
        assert_eq!(client.get(FORWARD).await.status, 401);
    }
}

#[actix_web::test]
async fn the_session_cookie_is_enough_and_no_csrf_token_is_asked_for() {
    let app = TestApp::spawn().await;
    let ada = app.user("ada").await;
    let login = json!({"login": "ada", "password": crate::harness::PASSWORD, "cookie": true});
    let answer = app.anonymous().post("/api/auth/login", login).await;
    let cookie = answer
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let headers = [("cookie", cookie.as_str()), ("x-forwarded-method", "POST")];
    let answer = app.anonymous().get_with(FORWARD, &headers).await;
    assert_eq!(answer.header("x-auth-user"), ada.user_id);
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[actix_web::test]
async fn a_permission_is_asked_for_besides() {
    let app = TestApp::spawn().await;
    let (admin, ada, bob) = (
        app.admin().await,
        app.user("ada").await,
        app.user("bob").await,
    );
    let tenant = Tenant::create(&admin, "Acme").await;
    given(&admin, &ada, "viewer", tenant.resource("organization")).await;
    let asked = |permission: &str, resource: &str| {
        format!("{FORWARD}?permission={permission}&resource={resource}")
    };
    let project = format!("project:{}", tenant.project);
    let read = asked("project:read", &project);
    assert_eq!(ada.get(&read).await.status, 200);
    assert_eq!(
        ada.get(&asked("project:update", &project)).await.status,
        403
    );
    for client in [&bob, &admin] {
        let expected = if client.user_id == bob.user_id {
            403
        } else {
            200
        };
        assert_eq!(client.get(&read).await.status, expected);
        let report = asked("report:read", "report:2026%2F11");
        assert_eq!(client.get(&report).await.status, expected);
        let system = format!("{FORWARD}?permission=user:read");
        assert_eq!(client.get(&system).await.status, expected);
    }
    // What does not exist looks like what one may not see.
    let unknown = asked("project:read", &format!("project:{}", uuid::Uuid::now_v7()));
    assert_eq!(ada.get(&unknown).await.status, 403);
    assert_eq!(
        ada.get(&asked("project:read", "project:x")).await.status,
        403
    );
    for wrong in [
        "?permission=read",
        "?permission=*",
        "?resource=system",
        "?permission=a:b&resource=c",
        "?x=1",
    ] {
        let answer = ada.get(&format!("{FORWARD}{wrong}")).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "validation_failed"),
            "{wrong}"
        );
    }
    let made = ada
        .post(
            "/api/users/me/api-keys",
            json!({"name": "k", "permissions": ["project:read"]}),
        )
        .await;
    let key = by_key(&app, &secret(&made));
    assert_eq!(key.get(&read).await.status, 200);
    assert_eq!(key.get(&asked("account:read", &project)).await.status, 403);
}

#[actix_web::test]
async fn browsers_are_sent_to_the_login_and_back_to_hosts_that_the_operator_named() {
    let settings = [
        ("PUBLIC_URL", "https://app.example.com"),
        ("CORS_ORIGINS", "https://shop.example.org"),
    ];
    let app = TestApp::with(&settings).await;
    let client = app.anonymous();
    let html = ("accept", "text/html,application/xhtml+xml;q=0.9");
    let login = "https://app.example.com/console/login";
    let to = |text: &str| format!("{login}?return_to={text}");
    let from = async |uri: &str, host: &str, proto: &str| {
        let headers = [
            html,
            ("x-forwarded-uri", uri),
            ("x-forwarded-host", host),
            ("x-forwarded-proto", proto),
            ("host", "evil.example"),
        ];
        let answer = client.get_with(FORWARD, &headers).await;
        assert_eq!(answer.status, 302, "{answer:?}");
        answer.header("location").to_owned()
    };
    let back = from("/a?b=c&d=e", "app.example.com", "https").await;
    assert_eq!(
        back,
        to("https%3A%2F%2Fapp.example.com%2Fa%3Fb%3Dc%26d%3De")
    );
    let shop = from("/", "shop.example.org", "https").await;
    assert_eq!(shop, to("https%3A%2F%2Fshop.example.org%2F"));
    for (uri, host, proto) in [
        ("/", "evil.example", "https"),
        ("/", "app.example.com", "http"),
        ("/", "app.example.com", "javascript"),
        ("/", "app.example.com@evil.example", "https"),
        ("@evil.example/", "app.example.com", "https"),
        (".evil.example/", "app.example.com", "https"),
        ("/", "user:pw@app.example.com", "https"),
        ("/", "shop.example.org:444", "https"),
        ("/", "", "https"),
    ] {
        assert_eq!(from(uri, host, proto).await, login, "{proto} {host} {uri}");
    }
    let redirect = async |text: &str| {
        let path = format!("{FORWARD}?redirect={text}");
        let answer = client.get_with(&path, &[html]).await;
        (answer.status, answer.header("location").to_owned())
    };
    assert_eq!(
        redirect("/a").await,
        (302, to("https%3A%2F%2Fapp.example.com%2Fa"))
    );
    for evil in [
        "https://evil.example/",
        "//evil.example",
        "/%5C/evil.example",
        "javascript:alert(1)",
        "%5C%5Cevil.example",
    ] {
        let (status, location) = redirect(evil).await;
        assert_eq!(status, 302);
        assert!(
            location == login || location.starts_with(&to("https%3A%2F%2Fapp.example.com%2F")),
            "{evil}: {location}"
        );
    }
    // Programs, and what a browser could not repeat, get the 401.
    let uri = ("x-forwarded-uri", "/a");
    for headers in [
        vec![uri, ("accept", "application/json")],
        vec![uri],
        vec![uri, html, ("x-forwarded-method", "POST")],
        vec![html],
    ] {
        let answer = client.get_with(FORWARD, &headers).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (401, "unauthenticated"),
            "{headers:?}"
        );
    }
}

/// An application that answers with the headers that it gets.
fn application() -> (String, ServerHandle) {
    async fn echo(request: HttpRequest) -> HttpResponse {
        let headers: serde_json::Map<String, Value> = request
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into(),
                )
            })
            .collect();
        HttpResponse::Ok().json(json!({"path": request.path(), "headers": headers}))
    }
    let server = HttpServer::new(|| App::new().default_service(web::to(echo)))
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .unwrap();
    let address = server.addrs()[0].to_string();
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    (address, handle)
}

/// A running nginx with the example's configuration.
struct Nginx {
    address: String,
    _process: Child,
    _folder: TempDir,
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy/nginx")
        .join(name)
}

/// Writes the example into `root`, with the addresses of this test, and what nginx needs around it.
fn configure(root: &Path, port: u16, gatepost: &str, application: &str) {
    let text = std::fs::read_to_string(example("gatepost.conf")).unwrap();
    let replaced = [
        ("127.0.0.1:8004", gatepost.to_owned()),
        ("127.0.0.1:8080", application.to_owned()),
        ("listen 80;", format!("listen 127.0.0.1:{port};")),
        ("/etc/nginx/gatepost/", format!("{}/", root.display())),
    ]
    .iter()
    .fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    std::fs::write(root.join("gatepost.conf"), replaced).unwrap();
    for name in ["ask.conf", "pass.conf"] {
        std::fs::copy(example(name), root.join(name)).unwrap();
    }
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};", root.display()))
        .join(" ");
    let main = format!(
        "daemon off; master_process off; pid {0}/pid; error_log {0}/error.log;\n\
         events {{}}\nhttp {{ access_log off; {temporary} include {0}/gatepost.conf; }}\n",
        root.display()
    );
    std::fs::write(root.join("nginx.conf"), main).unwrap();
}

impl Nginx {
    async fn start(gatepost: &str, application: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        configure(root, port, gatepost, application);
        let program = [
            "/usr/sbin/nginx",
            "/usr/local/bin/nginx",
            "/opt/homebrew/bin/nginx",
        ]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("nginx; scripts/setup installs it");
        let process = Command::new(program)
            .arg("-p")
            .arg(root)
            .arg("-c")
            .arg(root.join("nginx.conf"))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = std::fs::read_to_string(root.join("error.log")).unwrap_or_default();
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "nginx does not start: {log}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self {
            address: format!("http://localhost:{port}"),
            _process: process,
            _folder: folder,
        }
    }
}

#[actix_web::test]
async fn nginx_lets_through_whom_gatepost_knows_and_says_who_it_is() {
    let app = TestApp::spawn().await;
    let ada = app.user("ada").await;
    verified(&app, "ada@example.com").await;
    let (address, server) = application();
    let nginx = Nginx::start(app.address.trim_start_matches("http://"), &address).await;
    let through = |client: &Client| client.at_address(&nginx.address);

    // Nobody without a credential: programs are told so, browsers sent to the login and back.
    let answer = through(&app.anonymous()).get("/page?a=1&b=2").await;
    assert_eq!((answer.status, answer.problem()), (401, "unauthenticated"));
    let html = [("accept", "text/html")];
    let answer = through(&app.anonymous())
        .get_with("/page?a=1&b=2", &html)
        .await;
    assert_eq!(answer.status, 302);
    let back = format!("{}/page?a=1&b=2", nginx.address);
    let back: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
    let login = format!("http://localhost:8004/console/login?return_to={back}");
    assert_eq!(answer.header("location"), login);
    let tricked = [("accept", "text/html"), ("x-forwarded-uri", "/evil")];
    let answer = through(&app.anonymous())
        .get_with("/page?a=1&b=2", &tricked)
        .await;
    assert_eq!(
        answer.header("location"),
        login,
        "the client's own word is not taken"
    );
    let answer = through(&app.anonymous())
        .post("/page", json!({"a": 1}))
        .await;
    assert_eq!(answer.status, 401);

    // A token passes, and what the client says of itself does not.
    let spoofed = [
        ("x-auth-user", "root"),
        ("x-auth-email", "root@example.com"),
        ("x-auth-roles", "admin"),
    ];
    let answer = through(&ada).get_with("/page", &spoofed).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let headers = &answer.body["headers"];
    assert_eq!(headers["x-auth-user"], ada.user_id.as_str());
    assert_eq!(headers["x-auth-email"], "ada@example.com");
    assert_eq!(
        (&headers["x-auth-roles"], &headers["authorization"]),
        (&Value::Null, &Value::Null)
    );
    let answer = through(&ada).post("/page", json!({"a": 1})).await;
    assert_eq!(
        (answer.status, &answer.body["path"]),
        (200, &json!("/page"))
    );
    let made = ada
        .post(
            "/api/users/me/api-keys",
            json!({"name": "k", "permissions": ["self:read"]}),
        )
        .await;
    let key = by_key(&app, &secret(&made));
    let answer = through(&key).get("/page").await;
    assert_eq!(answer.body["headers"]["x-auth-user"], ada.user_id.as_str());
    server.stop(false).await;
}

#[actix_web::test]
async fn nginx_refuses_what_is_not_permitted_and_what_has_ended() {
    let app = TestApp::spawn().await;
    let (admin, ada) = (app.admin().await, app.user("ada").await);
    let (address, server) = application();
    let nginx = Nginx::start(app.address.trim_start_matches("http://"), &address).await;
    let through = |client: &Client| client.at_address(&nginx.address);

    // A permission on top.
    assert_eq!(through(&ada).get("/reports/1").await.status, 403);
    let answer = through(&admin).get("/reports/1").await;
    assert_eq!(answer.body["headers"]["x-auth-roles"], "admin");
    let robot = service_account(&admin, "robot").await;
    hire(&admin, &robot, "auditor", json!({"type": "system"})).await;
    let made = key_of(&admin, &robot, json!(["report:read"])).await;
    let robot = by_key(&app, &secret(&made));
    assert_eq!(through(&robot).get("/reports/1").await.status, 200);
    assert_eq!(through(&robot).get("/page").await.status, 403);

    // The cookie works because Gatepost is on the same host.
    let login = json!({"login": "ada", "password": crate::harness::PASSWORD, "cookie": true});
    let answer = through(&app.anonymous())
        .post("/api/auth/login", login)
        .await;
    let cookie = answer
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let answer = through(&app.anonymous())
        .get_with("/page", &[("cookie", &cookie)])
        .await;
    assert_eq!(answer.body["headers"]["x-auth-user"], ada.user_id.as_str());

    // What has ended is refused with the next request.
    assert_eq!(
        ada.post("/api/auth/logout-all", json!({})).await.status,
        200
    );
    assert_eq!(through(&ada).get("/page").await.status, 401);
    let answer = through(&app.anonymous())
        .get_with("/page", &[("cookie", &cookie)])
        .await;
    assert_eq!(answer.status, 401);
    app.clock.advance(TimeDelta::minutes(6));
    assert_eq!(through(&admin).get("/reports/1").await.status, 401);
    server.stop(false).await;
}
