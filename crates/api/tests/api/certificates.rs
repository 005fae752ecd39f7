//! Certificates that a real server serves, and that a real client believes.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

use gatepost::database::{
    bundled::{Cluster, Options},
    url::DatabaseUrl,
};
use secrecy::ExposeSecret;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;
use tokio::process::Command;

async fn tls(folder: &TempDir, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .args(["db", "tls"])
        .args(arguments)
        .env_clear()
        .current_dir(folder.path())
        .output()
        .await
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    (output.status.code().unwrap(), text)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[actix_web::test]
async fn certificates_are_made_shown_and_renewed_by_the_same_authority() {
    let folder = TempDir::new().unwrap();
    let ssl = folder.path().join("ssl");
    let (status, text) = tls(&folder, &["init", "db.example.com", "10.0.0.7"]).await;
    assert_eq!(status, 0, "{text}");
    for (name, expected) in [
        ("root.key", 0o600),
        ("server.key", 0o600),
        ("root.crt", 0o644),
        ("server.crt", 0o644),
        ("clients/root.crt", 0o644),
    ] {
        assert_eq!(mode(&ssl.join(name)), expected, "{name}");
    }
    let (status, text) = tls(&folder, &["init"]).await;
    assert!(status == 4 && text.contains("--force"), "{text}");
    let (status, text) = tls(&folder, &["show"]).await;
    assert_eq!(status, 0, "{text}");
    for part in [
        "CN=db.example.com",
        "db.example.com, 10.0.0.7",
        "(89 days left)",
        "matches",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }

    let read = |name: &str| fs::read(ssl.join(name)).unwrap();
    let before = ["root.crt", "server.key", "server.crt"].map(read);
    let (_, text) = tls(&folder, &["renew", "--if-fewer-than", "30"]).await;
    assert!(text.contains("Not needed yet"), "{text}");
    let (status, text) = tls(&folder, &["renew", "--days", "20"]).await;
    assert!(status == 0 && text.contains("pg_reload_conf"), "{text}");
    let after = ["root.crt", "server.key", "server.crt"].map(read);
    assert_eq!(before[..2], after[..2]);
    assert_ne!(before[2], after[2]);
    let (_, text) = tls(&folder, &["show"]).await;
    assert!(
        text.contains("(19 days left)") && text.contains("10.0.0.7"),
        "{text}"
    );
    let (_, text) = tls(&folder, &["renew", "--if-fewer-than", "30", "--new-key"]).await;
    assert!(text.contains("wrote"), "{text}");
    assert_ne!(before[1], read("server.key"));
    assert_eq!(fs::read_dir(&ssl).unwrap().count(), 5, "no drafts");

    let (status, text) = tls(
        &folder,
        &["show", "ssl/server.crt", "--key", "ssl/root.key"],
    )
    .await;
    assert!(status == 3 && text.contains("DOES NOT MATCH"), "{text}");
    fs::set_permissions(ssl.join("server.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let (status, text) = tls(&folder, &["show"]).await;
    assert!(status == 3 && text.contains("chmod 600"), "{text}");
    for (arguments, said) in [
        (["show", "none.crt"].as_slice(), "none.crt"),
        (&["show", "ssl/server.key"], "no certificate in PEM"),
        (
            &["init", "--dir", "other", "not a name"],
            "neither a host name",
        ),
        (&["renew", "--dir", "other"], "other/root.crt"),
        (&["init", "--dir", "/proc/ssl"], "/proc/ssl"),
    ] {
        let (status, text) = tls(&folder, arguments).await;
        assert!(status == 1 && text.contains(said), "{arguments:?}: {text}");
    }
}

/// A server that reads its certificate from `ssl`.
async fn server(folder: &TempDir, ssl: &Path) -> (Cluster, PgConnection) {
    let cluster = Cluster::start(Options {
        durable: false,
        ephemeral: true,
        ..Options::new(folder.path().join("data"))
    })
    .await
    .unwrap();
    // Its key has to be its own.
    let owner = fs::metadata(cluster.home().join("data")).unwrap();
    for path in [ssl, &ssl.join("server.key")] {
        chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let mut superuser = PgConnection::connect(cluster.superuser_url().expose_secret())
        .await
        .unwrap();
    for (name, value) in [
        (
            "ssl_cert_file",
            ssl.join("server.crt").display().to_string(),
        ),
        ("ssl_key_file", ssl.join("server.key").display().to_string()),
        ("ssl", "on".to_owned()),
    ] {
        let sql = format!("ALTER SYSTEM SET {name} = '{value}'");
        superuser.execute(AssertSqlSafe(sql)).await.unwrap();
    }
    superuser.execute("SELECT pg_reload_conf()").await.unwrap();
    (cluster, superuser)
}

#[actix_web::test]
async fn a_server_takes_the_renewed_certificate_and_keeps_its_connections() {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let ssl = folder.path().join("ssl");
    let (status, text) = tls(&folder, &["init"]).await;
    assert_eq!(status, 0, "{text}");
    let (cluster, mut superuser) = server(&folder, &ssl).await;
    let root = ssl.join("root.crt");
    let url = cluster.superuser_url().expose_secret().replace(
        "sslmode=disable",
        &format!("sslmode=verify-full&sslrootcert={}", root.display()),
    );
    let options = DatabaseUrl::parse(&url).unwrap().to_connect_options(false);
    let believed = async |expected: bool| {
        // The server reads the files some time after it was told to.
        loop {
            match PgConnection::connect_with(&options).await {
                Ok(connection) if expected => return Some(connection),
                Err(_) if !expected => return None,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let mut first = believed(true).await.unwrap();
    let version = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let version: String = sqlx::query_scalar(version)
        .fetch_one(&mut first)
        .await
        .unwrap();
    assert!(version.starts_with("TLSv1."), "{version}");

    let plain = cluster.superuser_url();
    let plain = plain.expose_secret();
    let (status, text) = tls(&folder, &["renew", "elsewhere", "--reload", plain]).await;
    assert!(status == 0 && text.contains("reloaded"), "{text}");
    believed(false).await;
    let (status, text) = tls(
        &folder,
        &[
            "renew",
            "localhost",
            "127.0.0.1",
            "--new-key",
            "--reload",
            plain,
        ],
    )
    .await;
    assert_eq!(status, 0, "{text}");
    believed(true).await;
    first.execute("SELECT 1").await.unwrap();
    superuser.execute("SELECT 1").await.unwrap();
    let (status, text) = tls(
        &folder,
        &["renew", "--reload", "postgres://u:hunter2@127.0.0.1:1/d"],
    )
    .await;
    assert!(status == 1 && !text.contains("hunter2"), "{text}");
    cluster.stop().await.unwrap();
}
