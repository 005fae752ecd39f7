//! One server with a role and a database for each state.

use gatepost::database::{migrate::migrate, url::DatabaseUrl};
use sqlx::{Connection as _, Executor as _};
use tokio::sync::{Mutex, OnceCell};

use super::{
    check, check_with, demand, expect,
    servers::{PASSWORD, Server, folder, give_away},
};
use crate::databases::read_config;

const HBA: &str = "
local all postgres scram-sha-256
local all trusted trust
host all rejected 127.0.0.1/32 reject
host all hashed 127.0.0.1/32 md5
host all clear 127.0.0.1/32 password
host all trusted 127.0.0.1/32 trust
host all kerberos 127.0.0.1/32 gss
host all owner,app,wrong,ghost,expired,limited,nologin,api 127.0.0.1/32 scram-sha-256
";

/// No session may be in a database while it is copied.
static COPYING: Mutex<()> = Mutex::const_new(());

static SERVER: OnceCell<Server> = OnceCell::const_new();

/// The roles and databases of all states.
pub async fn server() -> &'static Server {
    SERVER
        .get_or_init(|| async {
            let server = Server::make(HBA, "max_connections = 60\nsynchronous_commit = local");
            server.start();
            let role = |name: &str, more: &str| {
                format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' {more}")
            };
            let roles: Vec<String> = [
                ("owner", ""),
                ("app", ""),
                ("api", ""),
                ("wrong", "PASSWORD 'another one'"),
                ("expired", "VALID UNTIL '2020-01-01'"),
                ("limited", "CONNECTION LIMIT 0"),
                ("nologin", "NOLOGIN"),
                ("rejected", ""),
                ("unlisted", ""),
                ("clear", ""),
                ("trusted", ""),
                ("kerberos", ""),
            ]
            .map(|(name, more)| match name {
                "wrong" => format!("CREATE ROLE wrong LOGIN {more}"),
                "nologin" => format!("CREATE ROLE nologin PASSWORD '{PASSWORD}'"),
                _ => role(name, more),
            })
            .into();
            let mut statements: Vec<&str> = roles.iter().map(String::as_str).collect();
            let hashed = role("hashed", "");
            statements.extend([
                "SET password_encryption = 'md5'",
                &hashed,
                "CREATE DATABASE empty OWNER owner",
                "CREATE DATABASE closed ALLOW_CONNECTIONS false",
                "CREATE DATABASE one CONNECTION LIMIT 0",
                "CREATE DATABASE private OWNER owner",
                "REVOKE CONNECT ON DATABASE private FROM public",
                "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
                "CREATE DATABASE shop OWNER owner",
                "CREATE DATABASE migrated OWNER owner",
            ]);
            server.sql("postgres", &statements).await;
            server.sql("shop", &["CREATE TABLE baskets (id int)"]).await;
            let url = DatabaseUrl::parse(&server.url("owner", "migrated")).unwrap();
            let config = read_config(&[("DATABASE_URL", &server.url("owner", "migrated"))]);
            migrate(&config.database, &url, "api").await.unwrap();
            server
        })
        .await
}

/// A copy of the migrated database, changed by `statements`.
pub async fn migrated(name: &str, statements: &[&str]) -> &'static Server {
    let server = server().await;
    let copying = COPYING.lock().await;
    let sql = format!("CREATE DATABASE {name} TEMPLATE migrated OWNER owner");
    server.sql("postgres", &[&sql]).await;
    drop(copying);
    server.sql(name, statements).await;
    server
}

#[actix_web::test]
async fn refusals_at_the_login_are_told_apart() {
    let server = server().await;
    let told = expect(
        &server.url("unlisted", "empty"),
        "PG20",
        5,
        "pg_reload_conf",
    )
    .await;
    assert!(
        told.fix()
            .ends_with("\nhost empty unlisted 127.0.0.1/32 scram-sha-256"),
        "{}",
        told.fix()
    );
    let told = expect(
        &server.url("rejected", "empty"),
        "PG21",
        5,
        "before the `reject` line",
    )
    .await;
    assert!(
        told.fix()
            .contains("host empty rejected 127.0.0.1/32 scram-sha-256")
    );
    for user in ["wrong", "ghost", "expired"] {
        let told = expect(&server.url(user, "empty"), "PG22", 5, "VALID UNTIL").await;
        assert_eq!(told.json["phase"], "P5");
    }
    let port = server.port;
    let without = format!("postgres://app@localhost:{port}/empty");
    expect(&without, "PG23", 5, "DB_PASSWORD_FILE").await;
    expect(
        &server.url("nologin", "empty"),
        "PG24",
        5,
        "ALTER ROLE nologin LOGIN;",
    )
    .await;
    expect(&server.url("clear", "empty"), "PG25", 5, "scram-sha-256").await;
    expect(&server.url("kerberos", "empty"), "PG25", 5, "scram-sha-256").await;
    expect(
        &server.url("app", "nosuch"),
        "PG26",
        6,
        "CREATE DATABASE nosuch OWNER app;",
    )
    .await;
    expect(
        &server.url("app", "closed"),
        "PG27",
        6,
        "ALTER DATABASE closed ALLOW_CONNECTIONS",
    )
    .await;
    expect(
        &server.url("app", "private"),
        "PG28",
        6,
        "GRANT CONNECT ON DATABASE private TO app;",
    )
    .await;
    expect(
        &server.url("limited", "empty"),
        "PG30",
        8,
        "ALTER ROLE limited CONNECTION LIMIT",
    )
    .await;
    expect(
        &server.url("app", "one"),
        "PG30",
        8,
        "ALTER DATABASE one CONNECTION LIMIT",
    )
    .await;
    let socket = format!(
        "postgres://app:{PASSWORD}@localhost:{port}/empty?host={}",
        server.data.display()
    );
    let told = expect(&socket, "PG20", 5, "pg_hba.conf").await;
    assert!(
        told.fix().ends_with("\nlocal empty app scram-sha-256"),
        "{}",
        told.fix()
    );
}

#[actix_web::test]
async fn a_weak_way_to_log_in_is_warned_of() {
    let server = migrated("weakly", &["GRANT api TO hashed, trusted"]).await;
    for (user, word) in [("hashed", "md5"), ("trusted", "without a password")] {
        let told = check(&server.url(user, "weakly")).await;
        demand(&told, user, "", 0, "");
        let finding = told.finding("PG25").unwrap();
        assert_eq!(finding["severity"], "warning");
        assert!(
            finding["message"].as_str().unwrap().contains(word),
            "{finding}"
        );
    }
    let scram = check(&server.url("api", "weakly")).await;
    assert_eq!(scram.json["authentication"], "scram-sha-256");
    assert!(scram.finding("PG25").is_none());
}

#[actix_web::test]
async fn a_healthy_run_lists_what_is_worth_knowing() {
    let server = migrated("healthy", &[]).await;
    let told = expect(&server.url("api", "healthy"), "", 0, "").await;
    let json = &told.json;
    assert_eq!(json["details"]["host"], "localhost");
    assert_eq!(json["details"]["port"], server.port);
    assert_eq!(json["details"]["database"], "healthy");
    assert_eq!(json["details"]["user"], "api");
    assert_eq!(json["details"]["test_query_result"], 1);
    assert!(json["server_version"].is_string());
    assert_eq!(json["tls"]["used"], false);
    assert_eq!(json["tls"]["offered"], false);
    for words in [
        "no special attributes",
        "the server sees this client at 127.0.0.1",
        "encoding UTF8",
        "schema public",
        "clock",
        "migrations are applied",
        "instances fit",
    ] {
        assert!(told.all.contains(words), "{words}: {}", told.all);
    }
    let owner = check(&server.url("owner", "healthy")).await;
    assert_eq!(owner.status, 0, "{}", owner.all);
    assert!(owner.all.contains("owner owns the tables"), "{}", owner.all);
}

#[actix_web::test]
async fn sessions_that_cannot_do_their_work_are_told() {
    let server = server().await;
    let with = |options: &str| format!("{}?options=-c%20{options}", server.url("owner", "empty"));
    expect(
        &with("default_transaction_read_only%3Don"),
        "PG35",
        8,
        "RESET default_transaction_read_only",
    )
    .await;
    expect(
        &with("foo.bar%3D1%20-c%20nosuch%3D1"),
        "PG44",
        2,
        "options=",
    )
    .await;
    expect(&with("search_path%3Dnosuch"), "PG37", 6, "CREATE SCHEMA").await;
    let told = check_with(
        &[&server.url("owner", "empty")],
        &[("DATABASE_SCHEMA", "nosuch")],
    )
    .await;
    demand(&told, "schema", "PG37", 6, "DATABASE_SCHEMA");
    expect(&server.url("owner", "latin"), "PG43", 6, "ENCODING 'UTF8'").await;
    expect(
        &server.url("app", "empty"),
        "PG36",
        6,
        "GRANT USAGE, CREATE ON SCHEMA public TO app;",
    )
    .await;
    expect(
        &server.url("owner", "empty"),
        "PG53",
        7,
        "gatepost-migrate up",
    )
    .await;
    expect(&server.url("owner", "shop"), "PG54", 7, "DATABASE_SCHEMA").await;
}

#[actix_web::test]
async fn a_schema_that_may_not_be_used_is_told() {
    let closed = ["REVOKE ALL ON SCHEMA public FROM public, api"];
    let server = migrated("shut", &closed).await;
    expect(
        &server.url("api", "shut"),
        "PG36",
        6,
        "GRANT USAGE ON SCHEMA public TO api;",
    )
    .await;
}

#[actix_web::test]
async fn every_missing_privilege_is_named_with_the_statement_that_gives_it() {
    let take = [
        "REVOKE INSERT ON audit_log FROM api",
        "REVOKE UPDATE, DELETE ON users FROM api",
    ];
    let server = migrated("bare", &take).await;
    let told = expect(&server.url("api", "bare"), "PG38", 6, "").await;
    let script: Vec<&str> = told.fix().lines().skip(1).collect();
    assert_eq!(
        script,
        [
            "GRANT INSERT ON public.audit_log TO api;",
            "GRANT UPDATE, DELETE ON public.users TO api;"
        ]
    );
    server.sql("bare", &script).await;
    expect(&server.url("api", "bare"), "", 0, "").await;
    server
        .sql(
            "bare",
            &["REVOKE EXECUTE ON FUNCTION gatepost_maintain_activity FROM public, api"],
        )
        .await;
    let told = expect(&server.url("api", "bare"), "PG38", 6, "GRANT EXECUTE").await;
    let grant = told.fix().split_once(": ").unwrap().1;
    server.sql("bare", &[grant]).await;
    expect(&server.url("api", "bare"), "", 0, "").await;
    server
        .sql("bare", &["DROP FUNCTION gatepost_maintain_activity"])
        .await;
    expect(&server.url("api", "bare"), "PG41", 6, "gatepost-migrate").await;
    // No privilege is missing, and yet nothing can be written: a trigger stands in the way.
    server
        .sql("bare", &[
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE disk_full; END$$",
            "CREATE TRIGGER no BEFORE INSERT ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION no()",
        ])
        .await;
    expect(&server.url("api", "bare"), "PG51", 8, "pg_wal").await;
}

/// A small file system, taken away at the end.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// None where nothing may be mounted: in most containers, and for all but root.
    fn mount() -> Option<Self> {
        let folder = folder("disk");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"])
            .arg(&folder)
            .output()
            .unwrap();
        if !mounted.status.success() {
            return None;
        }
        give_away(&folder);
        Some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("--lazy")
            .arg(&self.0)
            .output();
    }
}

#[actix_web::test]
async fn a_full_disk_is_told() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    // Its own server: one that lost a disk is of no use to others.
    let server = Server::make(HBA, "");
    server.start();
    let owner = format!("CREATE ROLE owner LOGIN PASSWORD '{PASSWORD}'");
    server.sql("postgres", &[&owner]).await;
    let place = disk.0.display();
    server
        .sql(
            "postgres",
            &[
                &format!("CREATE TABLESPACE small LOCATION '{place}'"),
                "CREATE DATABASE filled OWNER owner TABLESPACE small",
            ],
        )
        .await;
    // Whatever is left is filled.
    let mut connection = server.superuser("filled").await;
    connection
        .execute("CREATE TABLE ballast (t text)")
        .await
        .unwrap();
    let fill = "INSERT INTO ballast SELECT repeat('x', 1000) FROM generate_series(1, 500)";
    while connection.execute(fill).await.is_ok() {}
    connection.close().await.unwrap();
    let url = server.url("owner", "filled");
    expect(&url, "PG51", 8, "Never delete in pg_wal").await;
    server.stop("immediate");
    server.gone();
}

#[actix_web::test]
async fn a_missing_standby_is_told() {
    // Nobody's commit waits for the standby: the server says so.
    let server = migrated("lonely", &[]).await;
    server
        .sql(
            "postgres",
            &[
                "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
                "SELECT pg_reload_conf()",
            ],
        )
        .await;
    let url = server.url("api", "lonely");
    // The check commits nothing, so it does not wait either.
    let told = loop {
        let told = check(&url).await;
        if told.finding("PG55").is_some() {
            break told;
        }
    };
    demand(&told, &url, "", 0, "");
    server
        .sql(
            "postgres",
            &[
                "ALTER SYSTEM RESET synchronous_standby_names",
                "SELECT pg_reload_conf()",
            ],
        )
        .await;
}
