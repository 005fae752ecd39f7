//! The PostgreSQL of this test program, and a migrated database for each test.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use gatepost::{
    config::{self, Config},
    database::{
        bundled::{API_ROLE, Cluster, OWNER_ROLE, Options},
        db::Db,
        migrate::migrate,
        pool::open,
        url::DatabaseUrl,
    },
};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;

const TEMPLATE: &str = "gatepost_template";

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The cluster that all tests share. It ends with the program, and the next one sweeps its folder.
async fn cluster() -> &'static Cluster {
    CLUSTER
        .get_or_init(|| async {
            // Another provider would be the same one, installed by another test.
            rustls::crypto::aws_lc_rs::default_provider()
                .install_default()
                .ok();
            let options = Options {
                durable: false,
                ephemeral: true,
                settings: vec![("max_connections".to_owned(), "200".to_owned())],
                ..Options::new(std::env::temp_dir().join("gatepost-tests"))
            };
            let cluster = Cluster::start(options).await.expect("a private PostgreSQL");
            make_template(&cluster).await;
            cluster
        })
        .await
}

async fn make_template(cluster: &Cluster) {
    let sql = format!("CREATE DATABASE {TEMPLATE} OWNER {OWNER_ROLE}");
    let mut admin = connect(&cluster.superuser_url(), "postgres").await;
    admin.execute(AssertSqlSafe(sql)).await.unwrap();
    let owner = DatabaseUrl::parse(&renamed(&cluster.owner_url(), TEMPLATE)).unwrap();
    let config = read_config(&[("DATABASE_URL", owner.to_secret_text().expose_secret())]);
    migrate(&config.database, &owner, API_ROLE).await.unwrap();
}

/// Settings as the environment would give them.
pub fn read_config(settings: &[(&str, &str)]) -> Config {
    let lookup = |name: &str| {
        let found = settings.iter().rev().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    config::read(&lookup, &[], false).unwrap().config
}

/// Makes a copy of the migrated database and returns its name.
pub async fn create() -> String {
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let sql = format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {OWNER_ROLE}");
    let mut admin = superuser("postgres").await;
    admin.execute(AssertSqlSafe(sql)).await.unwrap();
    name
}

/// The URL by which the API reaches a database.
pub async fn api_url(database: &str) -> String {
    renamed(&cluster().await.api_url(), database)
}

/// The superuser's URL of a database.
pub async fn superuser_url(database: &str) -> String {
    renamed(&cluster().await.superuser_url(), database)
}

/// A connection of the superuser, whom row-level security does not bind.
pub async fn superuser(database: &str) -> PgConnection {
    connect(&cluster().await.superuser_url(), database).await
}

/// The URL of a role of the test's own.
pub async fn url_of(role: &str, password: &str, database: &str) -> String {
    let superuser = cluster().await.superuser_url();
    let mut url = url::Url::parse(superuser.expose_secret()).unwrap();
    url.set_username(role).unwrap();
    url.set_password(Some(password)).unwrap();
    url.set_path(database);
    url.into()
}

/// A name that no other test has.
pub fn name(start: &str) -> String {
    format!("{start}_{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// The URL by which the owner reaches a database.
pub async fn owner_url(database: &str) -> String {
    renamed(&cluster().await.owner_url(), database)
}

/// An empty database of the owner's.
pub async fn empty() -> String {
    let name = name("empty");
    let sql = format!("CREATE DATABASE {name} OWNER {OWNER_ROLE}");
    let mut admin = superuser("postgres").await;
    admin.execute(AssertSqlSafe(sql)).await.unwrap();
    name
}

/// An empty database of the superuser's, as one of another system begins, and its URL.
pub async fn foreign() -> String {
    let name = format!("foreign_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let sql = format!("CREATE DATABASE {name}");
    let mut admin = superuser("postgres").await;
    admin.execute(AssertSqlSafe(sql)).await.unwrap();
    renamed(&cluster().await.superuser_url(), &name)
}

async fn connect(url: &SecretString, database: &str) -> PgConnection {
    PgConnection::connect(&renamed(url, database))
        .await
        .unwrap()
}

fn renamed(url: &SecretString, database: &str) -> String {
    let mut url = url::Url::parse(url.expose_secret()).unwrap();
    url.set_path(database);
    url.into()
}

/// A database without an application on it.
pub struct TestDatabase {
    name: String,
    /// A pool of the API's role; [`TestDatabase::another`] opens more, as other instances would.
    pub db: Db,
}

impl TestDatabase {
    /// A copy of the migrated database.
    pub async fn create() -> Self {
        let name = create().await;
        let db = pool(&name).await;
        Self { name, db }
    }

    /// The connections of another instance.
    pub async fn another(&self) -> Db {
        pool(&self.name).await
    }
}

async fn pool(database: &str) -> Db {
    let url = api_url(database).await;
    let config = read_config(&[("DATABASE_URL", &url), ("DATABASE_MAX_SIZE", "4")]);
    let url = DatabaseUrl::parse(&url).unwrap();
    open(&config.database, &url, &Arc::default()).await.unwrap()
}
