//! A standby, and what its server says when it takes nobody.

use std::fs;

use sqlx::Connection as _;

use super::{
    Told, check, demand, expect,
    servers::{PASSWORD, SUPERUSER_PASSWORD, Server, folder, free_port, run},
};

const HBA: &str = "
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
";

/// Checks until the server is as far as it will get.
async fn until(url: &str, code: &str) -> Told {
    for _ in 0..200 {
        let told = check(url).await;
        if told.code() == code {
            return told;
        }
    }
    check(url).await
}

#[actix_web::test]
async fn a_standby_is_told_in_every_state() {
    let primary = Server::make(HBA, "");
    primary.start();
    let role = format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'");
    primary.sql("postgres", &[&role]).await;
    let data = folder("standby");
    let source = format!(
        "host=127.0.0.1 port={} user=postgres password={SUPERUSER_PASSWORD}",
        primary.port
    );
    let copied = run(
        "pg_basebackup",
        &[
            "--pgdata",
            data.to_str().unwrap(),
            "--dbname",
            &source,
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        ],
    );
    assert!(
        copied.status.success(),
        "{}",
        String::from_utf8_lossy(&copied.stderr)
    );
    let standby = Server::in_folder(data, HBA, "");
    standby.start();
    let url = standby.url("app", "postgres");
    expect(&url, "PG34", 8, "primary").await;

    // Among several hosts it waits for its turn.
    let grant = "GRANT CREATE ON SCHEMA public TO app";
    primary.sql("postgres", &[grant]).await;
    let (first, second, nobody) = (standby.port, primary.port, free_port());
    let several = format!(
        "postgres://app:{PASSWORD}@localhost:{first},localhost:{nobody},localhost:{second}/postgres"
    );
    let told = expect(&several, "PG53", 7, "gatepost-migrate up").await;
    let codes: Vec<_> = told.json["hosts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|host| host["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["PG34", "PG05", "PG53"]);

    // A smart stop waits for who is there, and lets nobody in.
    let session = standby.superuser("postgres").await;
    standby.stop("smart");
    let told = until(&url, "PG32").await;
    demand(&told, &url, "PG32", 8, "maintenance");
    session.close().await.unwrap();
    standby.gone();

    let open = fs::read_to_string(standby.data.join("postgresql.conf")).unwrap();
    standby.write("postgresql.conf", &format!("{open}hot_standby = off\n"));
    standby.launch();
    let told = until(&url, "PG33").await;
    demand(&told, &url, "PG33", 8, "hot_standby = on");
    standby.stop("immediate");
    standby.gone();

    // Without its log of changes, and without a primary to get it from, it starts for ever.
    standby.write("postgresql.conf", &open);
    standby.write("postgresql.auto.conf", "");
    for entry in fs::read_dir(standby.data.join("pg_wal")).unwrap().flatten() {
        if entry.file_type().unwrap().is_file() {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    standby.launch();
    let told = until(&url, "PG31").await;
    demand(&told, &url, "PG31", 8, "Wait");
    standby.stop("immediate");
    standby.gone();
    primary.stop("immediate");
    primary.gone();
}
