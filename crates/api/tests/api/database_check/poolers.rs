//! `PgBouncer`, as Debian has it and as it comes.

use std::{fs, path::Path};

use gatepost::database::{migrate::migrate, url::DatabaseUrl};

use super::{
    expect,
    servers::{PASSWORD, Server, command, folder, free_port, give_away, spawn, wait_for},
};
use crate::databases::read_config;

const HBA: &str = "
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
";

#[actix_web::test]
async fn what_a_pooler_does_to_sessions_is_told() {
    let server = Server::make(HBA, "");
    server.start();
    let role = format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'");
    server
        .sql("postgres", &[&role, "CREATE DATABASE gp OWNER app"])
        .await;
    let url = server.url("app", "gp");
    let config = read_config(&[("DATABASE_URL", &url)]);
    let url = DatabaseUrl::parse(&url).unwrap();
    migrate(&config.database, &url, "app").await.unwrap();

    let files = folder("pgbouncer");
    let port = free_port();
    let (to, nowhere) = (server.port, free_port());
    let users = files.join("users.txt");
    fs::write(&users, format!("\"app\" \"{PASSWORD}\"\n")).unwrap();
    give_away(&users);
    let settings = files.join("pgbouncer.ini");
    let text = format!(
        "[databases]
gp = host=127.0.0.1 port={to} dbname=gp pool_mode=session
pooled = host=127.0.0.1 port={to} dbname=gp pool_mode=transaction
dead = host=127.0.0.1 port={nowhere} dbname=gp
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {}
query_wait_timeout = 2
server_login_retry = 1
",
        users.display()
    );
    fs::write(&settings, text).unwrap();
    give_away(&settings);
    let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"]
        .map(Path::new)
        .into_iter()
        .find(|path| path.exists())
        .expect("PgBouncer is installed by scripts/setup");
    let mut pooler = command(program);
    pooler.arg(&settings);
    let process = spawn(pooler, &files.join("log"));
    wait_for("starting PgBouncer", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });

    let through = |database: &str| format!("postgres://app:{PASSWORD}@localhost:{port}/{database}");
    let told = expect(&through("gp"), "", 0, "").await;
    assert!(
        told.all
            .contains("a pooler is between, and gives this session a connection of its own"),
        "{}",
        told.all
    );
    let told = expect(&through("pooled"), "PG45", 2, "max_prepared_statements").await;
    let nameless = format!("{}?statement-cache-capacity=0", through("pooled"));
    expect(&nameless, "", 0, "").await;
    let finding = told.finding("PG48").unwrap();
    assert!(
        finding["fix"]
            .as_str()
            .unwrap()
            .contains("MIGRATION_DATABASE_URL")
    );
    let with_options = format!("{}?options=-c%20work_mem%3D8MB", through("gp"));
    expect(&with_options, "PG46", 2, "ignore_startup_parameters").await;
    expect(&through("dead"), "PG47", 8, "query_wait_timeout").await;
    let wrong = through("gp").replace(PASSWORD, "another");
    expect(&wrong, "PG22", 5, "").await;

    let direct = expect(&server.url("app", "gp"), "", 0, "").await;
    assert!(!direct.all.contains("a pooler is between"));
    std::process::Command::new("kill")
        .arg(process.to_string())
        .status()
        .unwrap();
    server.stop("immediate");
    server.gone();
}
