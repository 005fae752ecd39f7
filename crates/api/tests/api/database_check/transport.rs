//! One server whose TLS and room are changed again and again.

use super::{
    Told,
    certificates::{Authority, FUTURE, NOW, PAST, self_signed},
    check, demand, expect,
    servers::{PASSWORD, Server, folder},
};

const HBA: &str = "
local all postgres scram-sha-256
hostssl all tlsonly 127.0.0.1/32 scram-sha-256
hostssl all certuser 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
hostnossl all plainonly 127.0.0.1/32 scram-sha-256
host all app 127.0.0.1/32 scram-sha-256
";

/// Checks until the server has taken over what it was told to; a reload reaches it a moment later.
async fn until(url: &str, code: &str) -> Told {
    for _ in 0..100 {
        let told = check(url).await;
        if told.code() == code {
            return told;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    check(url).await
}

#[actix_web::test]
async fn every_state_of_tls_is_told() {
    let authority = Authority::make();
    let files = folder("tls");
    let write = |name: &str, text: &str| {
        std::fs::write(files.join(name), text).unwrap();
        files.join(name).display().to_string()
    };
    let ca = write("ca.crt", &authority.certificate);
    let own = self_signed("localhost");
    let self_crt = write("self.crt", &own.certificate);
    authority.issue("client", NOW).write(&files, "client");
    let other = Authority::make();
    other.issue("client", NOW).write(&files, "stranger");

    let server = Server::make(
        HBA,
        "max_connections = 10\nssl = on\nssl_ca_file = 'ca.crt'",
    );
    let data = server.data.display().to_string();
    server.write("ca.crt", &authority.certificate);
    let serve = |pair: &super::certificates::Pair| {
        server.write("server.crt", &pair.certificate);
        server.write("server.key", &pair.key);
    };
    let good = authority.issue("localhost", NOW);
    serve(&good);
    server.start();
    let role = |name: &str| format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'");
    let roles = ["tlsonly", "certuser", "plainonly", "app"].map(role);
    let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
    server.sql("postgres", &roles).await;

    let url = |user: &str, mode: &str| format!("{}?sslmode={mode}", server.url(user, "postgres"));
    let full = format!("{}&sslrootcert={ca}", url("app", "verify-full"));

    // An empty database: all that comes before the schema is fine. PG36: it may not make one.
    let told = expect(&full, "PG36", 6, "CREATE ON SCHEMA").await;
    assert_eq!(told.json["tls"]["version"], "TLSv1.3");
    assert_eq!(told.json["tls"]["trusted"], true);
    assert!(
        told.json["tls"]["cipher"]
            .as_str()
            .unwrap()
            .starts_with("TLS_")
    );
    assert_eq!(told.json["tls"]["certificate"]["names"][0], "localhost");
    assert!(
        told.json["tls"]["certificate"]["days_left"]
            .as_i64()
            .unwrap()
            > 10_000
    );
    // Its file can be compared where the server is here, and it is the same.
    assert!(told.finding("PG19").is_none(), "{}", told.all);

    let by_address = full.replace("@localhost:", "@127.0.0.1:");
    let told = expect(&by_address, "PG13", 4, "subject alternative names").await;
    assert!(
        told.json["message"]
            .as_str()
            .unwrap()
            .contains("127.0.0.1 is asked for, and it is for localhost")
    );
    let ca_only = by_address.replace("verify-full", "verify-ca");
    expect(&ca_only, "PG36", 6, "").await;
    let unknown = format!("{}&sslrootcert={self_crt}", url("app", "verify-full"));
    let told = expect(&unknown, "PG12", 4, "sslrootcert").await;
    assert!(
        told.json["message"].as_str().unwrap().contains("SHA-256"),
        "{}",
        told.all
    );
    expect(&url("app", "verify-ca"), "PG16", 2, "PEM").await;

    // Who may come in by which way.
    let told = expect(&url("tlsonly", "disable"), "PG11", 5, "verify-full").await;
    assert_eq!(told.json["tls"]["used"], false);
    for mode in ["allow", "prefer", "require"] {
        let told = expect(&url("tlsonly", mode), "PG36", 6, "").await;
        assert_eq!(told.json["tls"]["used"], true, "{mode}");
    }
    for mode in ["disable", "allow", "prefer"] {
        let told = expect(&url("plainonly", mode), "PG36", 6, "").await;
        assert_eq!(told.json["tls"]["used"], false, "{mode}");
    }
    expect(
        &url("plainonly", "require"),
        "PG20",
        5,
        "hostssl postgres plainonly 127.0.0.1/32",
    )
    .await;

    // Certificates of the client.
    expect(&url("certuser", "require"), "PG18", 5, "sslcert").await;
    let with = |who: &str| {
        let path = files.join(who).display().to_string();
        format!(
            "{}&sslcert={path}.crt&sslkey={path}.key",
            url("certuser", "require")
        )
    };
    expect(&with("client"), "PG36", 6, "").await;
    expect(&with("stranger"), "PG18", 5, "ssl_ca_file").await;

    // A certificate that cannot be taken over: its key is open to others.
    serve(&authority.issue("localhost", NOW));
    let key = server.data.join("server.key");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let absolute = format!("ALTER SYSTEM SET ssl_cert_file = '{data}/server.crt'");
    server.sql("postgres", &[&absolute]).await;
    server.reload();
    let told = loop {
        let told = check(&full).await;
        if told.finding("PG19").is_some() {
            break told;
        }
    };
    assert!(
        told.finding("PG19").unwrap()["fix"]
            .as_str()
            .unwrap()
            .contains("chmod 0600")
    );

    // Certificates of the server, one after the other.
    for (pair, code, fix) in [
        (authority.issue("localhost", PAST), "PG14", "Renew"),
        (authority.issue("localhost", FUTURE), "PG15", "clock"),
        (
            authority.issue("db.internal", NOW),
            "PG13",
            "subject alternative names",
        ),
    ] {
        serve(&pair);
        server.reload();
        let told = until(&full, code).await;
        demand(&told, &full, code, 4, fix);
        assert_eq!(told.json["phase"], "P4");
        assert_eq!(told.json["tls"]["trusted"], false);
    }
    serve(&own);
    server.reload();
    let told = until(&full, "PG12").await;
    demand(&told, &full, "PG12", 4, "self-signed");
    // Named itself, it is trusted. `require` takes anything.
    let itself = full.replace(&ca, &self_crt);
    let told = expect(&itself, "PG36", 6, "").await;
    assert_eq!(told.json["tls"]["trusted"], true);
    let told = expect(&url("app", "require"), "PG36", 6, "").await;
    assert_eq!(told.json["tls"]["trusted"], false);

    // Versions that nobody speaks any more.
    let old = [
        "ALTER SYSTEM SET ssl_min_protocol_version = 'TLSv1'",
        "ALTER SYSTEM SET ssl_max_protocol_version = 'TLSv1.1'",
    ];
    server.sql("postgres", &old).await;
    server.reload();
    let told = until(&full, "PG17").await;
    demand(&told, &full, "PG17", 4, "TLSv1.2");

    server
        .sql("postgres", &["ALTER SYSTEM SET ssl = off"])
        .await;
    server.reload();
    let told = until(&full, "PG10").await;
    demand(&told, &full, "PG10", 4, "Do not lower sslmode");
    assert_eq!(told.json["phase"], "P3");
    expect(&url("app", "require"), "PG10", 4, "ssl = on").await;

    the_room_is_told(&server).await;
    server.stop("immediate");
    server.gone();
}

/// Ten connections, three of them reserved.
async fn the_room_is_told(server: &Server) {
    let mut sessions = Vec::new();
    for _ in 0..7 {
        sessions.push(server.superuser("postgres").await);
    }
    let url = server.url("app", "postgres");
    expect(&url, "PG29", 8, "DATABASE_MAX_SIZE").await;
    for _ in 0..3 {
        sessions.push(server.superuser("postgres").await);
    }
    expect(&url, "PG29", 8, "max_connections").await;
}
