//! Serves the real application on a database of its own, with a clock that tests move.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_web::{HttpServer, dev::ServerHandle, web::Data};
use chrono::{DateTime, TimeDelta, Utc};
use gatepost::{
    app,
    clock::{Clock, SystemClock},
    config::SecretKey,
    database::url::DatabaseUrl,
    server::{
        background::{self, Background},
        start::{Secrets, start},
    },
    state::AppState,
};
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::databases;

/// Long enough, not guessable, and everyone's.
pub const PASSWORD: &str = "walnut ferry 88 cobalt moss";

/// A clock that stands at the time of its making plus what it was moved by.
pub struct TestClock(Mutex<DateTime<Utc>>);

impl TestClock {
    fn new() -> Self {
        // Whole seconds: times come back from JSON and from the database as they went in.
        let now = SystemClock.now();
        Self(Mutex::new(
            now - TimeDelta::nanoseconds(i64::from(now.timestamp_subsec_nanos())),
        ))
    }

    pub fn advance(&self, by: TimeDelta) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// What instances are set to, unless a test says otherwise.
const SETTINGS: [(&str, &str); 7] = [
    ("DATABASE_MIN_SIZE", "0"),
    ("DATABASE_MAX_SIZE", "8"),
    ("ADMIN_EMAIL", "admin@example.com"),
    ("ARGON2_MEMORY_KIB", "64"),
    ("LOGIN_RATE_LIMIT", "100000,100000"),
    ("REGISTRATION_MODE", "approval"),
    ("EMAIL_VERIFICATION", "off"),
];

/// A secret of instances: `SECRET_KEY` for `a`, `CSRF_SECRET_KEY` for `b`.
pub fn secret_key(digit: char) -> String {
    format!("0123456789abcdef{digit}").repeat(4)[..64].to_owned()
}

/// One running instance.
pub struct TestApp {
    pub state: Data<AppState>,
    pub clock: Arc<TestClock>,
    pub address: String,
    pub database: String,
    admin_password: SecretString,
    settings: Vec<(String, String)>,
    handle: ServerHandle,
    background: Option<Background>,
}

impl TestApp {
    /// An instance on a fresh database.
    pub async fn spawn() -> Self {
        Self::with(&[]).await
    }

    /// The same with other settings.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let database = databases::create().await;
        let clock = Arc::new(TestClock::new());
        Self::on(&database, settings, clock, None).await
    }

    /// A second instance on the same database, with the same clock.
    pub async fn second(&self) -> Self {
        self.second_with(&[]).await
    }

    /// The same with other settings.
    pub async fn second_with(&self, more: &[(&str, &str)]) -> Self {
        let mut settings: Vec<_> = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        settings.extend(more);
        let (clock, password) = (self.clock.clone(), self.admin_password.clone());
        Self::on(&self.database, &settings, clock, Some(password)).await
    }

    async fn on(
        database: &str,
        settings: &[(&str, &str)],
        clock: Arc<TestClock>,
        admin_password: Option<SecretString>,
    ) -> Self {
        let url = databases::api_url(database).await;
        Self::at(&url, database, settings, clock, admin_password).await
    }

    /// An instance whose database is at a URL of the test's own.
    pub async fn reaching(url: &str, settings: &[(&str, &str)]) -> Self {
        let clock = Arc::new(TestClock::new());
        Self::at(url, "elsewhere", settings, clock, None).await
    }

    /// Another one on the same database at another URL, or with other settings.
    pub async fn also_reaching(&self, url: &str, settings: &[(&str, &str)]) -> Self {
        let (clock, password) = (self.clock.clone(), self.admin_password.clone());
        Self::at(url, "elsewhere", settings, clock, Some(password)).await
    }

    async fn at(
        url: &str,
        database: &str,
        settings: &[(&str, &str)],
        clock: Arc<TestClock>,
        admin_password: Option<SecretString>,
    ) -> Self {
        let mut all = SETTINGS.to_vec();
        all.push(("DATABASE_URL", url));
        all.extend(settings);
        let config = databases::read_config(&all);
        let url = config.database.url.clone().unwrap();
        let key = |digit| SecretKey::parse(&secret_key(digit)).unwrap();
        let secrets = Secrets {
            key: key('a'),
            previous: None,
            csrf: key('b'),
        };
        let started = start(config, &url, &secrets, clock.clone()).await.unwrap();
        let made = started
            .break_glass
            .as_ref()
            .and_then(|admin| admin.made.clone());
        let state = Data::clone(&started.state);
        let shared = Data::clone(&state);
        let server = HttpServer::new(move || app::build(Data::clone(&shared)))
            .workers(1)
            // A test that has to wait for the machine is no slow client.
            .client_request_timeout(Duration::from_mins(5))
            .keep_alive(Duration::from_mins(5))
            .disable_signals()
            .bind(("127.0.0.1", 0))
            .unwrap();
        let address = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        let background = background::spawn(started);
        let app = Self {
            state,
            clock,
            address,
            database: database.to_owned(),
            admin_password: admin_password.or(made).expect("an administrator was made"),
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            handle,
            background: Some(background),
        };
        app.wait_until_listening().await;
        app
    }

    /// Until changes are heard of, so that every test sees the caches at work.
    async fn wait_until_listening(&self) {
        let database = &self.state.config.database;
        let is_pooled = database.url.as_ref().is_some_and(DatabaseUrl::is_pooled);
        if is_pooled && database.listen_url.is_none() {
            return;
        }
        while !self.state.cache.is_listening() {
            tokio::task::yield_now().await;
        }
    }

    /// A client that has not logged in.
    pub fn anonymous(&self) -> Client {
        Client {
            http: reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            address: self.address.clone(),
            token: None,
            refresh_token: String::new(),
            user_id: String::new(),
        }
    }

    /// The break-glass administrator, with the password that had to be chosen.
    pub async fn admin(&self) -> Client {
        let client = self.anonymous();
        let login =
            json!({"login": "admin@example.com", "password": self.admin_password.expose_secret()});
        let first = client.post("/api/auth/login", login).await;
        let answer = if first.status == 200 && first.body["status"] == "password_change_required" {
            let change = json!({
                "password_change_token": first.body["password_change_token"],
                "new_password": PASSWORD,
            });
            client.post("/api/auth/password/change", change).await
        } else {
            self.login("admin@example.com").await
        };
        client.with_tokens(&answer)
    }

    /// A user who registered as `<name>@example.com`, was approved, and has logged in.
    pub async fn user(&self, name: &str) -> Client {
        let email = format!("{name}@example.com");
        let new =
            json!({"email": email, "username": name, "password": PASSWORD, "display_name": name});
        let answer = self.anonymous().post("/api/register", new).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        if answer.body["status"] == "pending_approval" {
            let admin = self.admin().await;
            let found = admin.get(&format!("/api/admin/users?email={email}")).await;
            let id = found.body["items"][0]["id"].as_str().unwrap().to_owned();
            let approved = admin
                .put(&format!("/api/admin/users/{id}/approve"), json!({}))
                .await;
            assert_eq!(approved.status, 200, "{}", approved.body);
        }
        self.log_in(&email).await
    }

    /// A client who logs in with the password that everyone has.
    pub async fn log_in(&self, login: &str) -> Client {
        let answer = self.login(login).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        self.anonymous().with_tokens(&answer)
    }

    /// The answer to a login with the password that everyone has.
    pub async fn login(&self, login: &str) -> Answer {
        self.anonymous()
            .post(
                "/api/auth/login",
                json!({"login": login, "password": PASSWORD}),
            )
            .await
    }

    /// A connection of the superuser, to look at what is really there.
    pub async fn sql(&self) -> PgConnection {
        databases::superuser(&self.database).await
    }

    /// The URL of the API's own role.
    pub async fn sql_url(&self) -> String {
        databases::api_url(&self.database).await
    }

    /// A connection of the API's own role, with row-level security.
    pub async fn api_sql(&self) -> PgConnection {
        let url = databases::api_url(&self.database).await;
        PgConnection::connect(&url).await.unwrap()
    }

    /// Stops the instance.
    pub async fn stop(mut self) {
        self.handle.stop(false).await;
        if let Some(background) = self.background.take() {
            background.stop(&self.state).await;
        }
    }
}

/// Someone who sends requests.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    address: String,
    pub token: Option<String>,
    pub refresh_token: String,
    pub user_id: String,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The code of a problem; also checks that it is a whole one.
    pub fn problem(&self) -> &str {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        assert_eq!(self.body["status"], self.status, "{self:?}");
        assert_eq!(
            self.body["request_id"],
            self.header("x-request-id"),
            "{self:?}"
        );
        self.body["code"].as_str().unwrap()
    }

    /// The `id` of the body.
    pub fn id(&self) -> String {
        let id = self.body["id"].as_str();
        id.unwrap_or_else(|| panic!("no id in {self:?}")).to_owned()
    }
}

impl Client {
    /// The same with the tokens of a login.
    pub fn with_tokens(mut self, answer: &Answer) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.body["status"], "authenticated", "{}", answer.body);
        self.token = Some(text(&answer.body["access_token"]));
        self.refresh_token = text(&answer.body["refresh_token"]);
        self.user_id = text(&answer.body["user"]["id"]);
        self
    }

    /// The same person at another instance.
    pub fn at(&self, app: &TestApp) -> Self {
        self.at_address(&app.address)
    }

    /// The same person at what stands in front of an instance.
    pub fn at_address(&self, address: &str) -> Self {
        Self {
            address: address.to_owned(),
            ..self.clone()
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None, &[]).await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, None, headers).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some(body), &[]).await
    }

    pub async fn post_with(&self, path: &str, body: Value, headers: &[(&str, &str)]) -> Answer {
        self.send("POST", path, Some(body), headers).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, Some(body), &[]).await
    }

    pub async fn put_with(&self, path: &str, body: Value, headers: &[(&str, &str)]) -> Answer {
        self.send("PUT", path, Some(body), headers).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, Some(body), &[]).await
    }

    pub async fn patch_with(&self, path: &str, body: Value, headers: &[(&str, &str)]) -> Answer {
        self.send("PATCH", path, Some(body), headers).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None, &[]).await
    }

    pub async fn delete_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("DELETE", path, None, headers).await
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
        self.raw(method, path, body, headers).await
    }

    /// The content type and the text of an answer that is no JSON.
    pub async fn text(&self, path: &str, headers: &[(&str, &str)]) -> (String, String) {
        let mut request = self.http.get(format!("{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap();
        let kind = kind.to_owned();
        (kind, response.text().await.unwrap())
    }

    /// Sends a body of any type and any bytes.
    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some((content_type, bytes)) = body {
            request = request.body(bytes);
            if !content_type.is_empty() {
                request = request.header("content-type", content_type);
            }
        }
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request = request.header(name, HeaderValue::from_str(value).unwrap());
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer {
            status,
            headers,
            body,
        }
    }
}
