//! What is no PostgreSQL, or none that answers.

use std::{fs, time::Duration};

use bytes::{BufMut as _, BytesMut};
use gatepost::{
    clock::SystemClock,
    database::{
        check::{Class, Pool, Target, check as check_here},
        url::DatabaseUrl,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
};

use super::{check_with, demand, expect, servers::free_port};

#[actix_web::test]
async fn a_url_that_cannot_be_read_says_what_to_encode() {
    for url in [
        "postgres://u:pa#ss@h/db",
        "postgres://u:pa/ss@h/db",
        "mysql://u@h/db",
        "postgres://u@h:notaport/db",
        "postgres://h/db",
    ] {
        let told = expect(url, "PG01", 2, "percent-encode").await;
        assert_eq!(told.json["phase"], "P0");
        assert!(!told.all.contains("pa#ss"), "{}", told.all);
    }
    let told = expect(
        "postgres://u:hunter2@h/d?ssl_mode=verify-full",
        "PG02",
        2,
        "Correct",
    )
    .await;
    assert!(
        told.json["message"]
            .as_str()
            .unwrap()
            .contains("did you mean `sslmode`?")
    );
    assert!(!told.all.contains("hunter2"));
}

#[actix_web::test]
async fn without_a_url_the_settings_say_where_the_database_is() {
    let none = check_with(&[], &[]).await;
    demand(&none, "none", "PG01", 2, "DB_HOST");
    let bad = check_with(&[], &[("DATABASE_URL", "postgres://u@h/d?sslmod=require")]).await;
    assert_eq!((bad.code(), bad.status), ("PG01", 2), "{}", bad.all);
    assert!(bad.all.contains("did you mean `sslmode`?"), "{}", bad.all);
    // Nothing else has to be set, not even in production.
    let port = free_port().to_string();
    let settings = [
        ("ENVIRONMENT", "production"),
        ("DB_HOST", "127.0.0.1"),
        ("DB_PORT", port.as_str()),
        ("DB_USER", "app"),
        ("DB_PASSWORD", "hunter2"),
        ("DB_NAME", "shop"),
    ];
    let told = check_with(&[], &settings).await;
    demand(&told, "parts", "PG05", 3, "listen_addresses");
    assert_eq!(told.json["details"]["database"], "shop");
    assert!(!told.all.contains("hunter2"));
}

#[actix_web::test]
async fn names_and_ways_that_lead_nowhere_are_told_apart() {
    let told = expect(
        "postgres://u@nosuch.invalid/d?sslmode=require",
        "PG04",
        3,
        "getent",
    )
    .await;
    assert!(told.finding("PG03").is_some(), "{}", told.all);
    let port = free_port();
    let told = expect(
        &format!("postgres://u@127.0.0.1:{port}/d"),
        "PG05",
        3,
        "port",
    )
    .await;
    assert_eq!(told.json["phase"], "P2");
    expect(
        "postgres://u@localhost/d?host=/nonexistent",
        "PG09",
        3,
        "unix_socket_directories",
    )
    .await;
    // Its queue is full, so whoever comes hears nothing.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _first = TcpStream::connect(address).await.unwrap();
    let url = format!("postgres://u@{address}/d");
    let told = check_with(&["--timeout", "1", &url], &[]).await;
    demand(&told, &url, "PG06", 3, "firewall");
}

#[actix_web::test]
async fn certificate_files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let der = folder.path().join("der.crt");
    fs::write(&der, [0x30, 0x82, 0x01]).unwrap();
    for file in ["/nonexistent", der.to_str().unwrap()] {
        let url = format!("postgres://u@localhost/d?sslmode=verify-full&sslrootcert={file}");
        let told = expect(&url, "PG16", 2, "PEM").await;
        assert!(told.json["message"].as_str().unwrap().contains(file));
    }
    let url = format!(
        "postgres://u@localhost/d?sslcert={0}&sslkey={0}",
        der.display()
    );
    expect(&url, "PG16", 2, "PEM").await;
}

/// A listener that does `what` with whoever comes.
async fn listener<F>(what: impl Fn(TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(what(stream));
        }
    });
    port
}

#[actix_web::test]
async fn a_port_that_is_silent_or_of_another_service_is_told() {
    let silent = listener(async |mut stream: TcpStream| {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
    })
    .await;
    for mode in ["disable", "prefer"] {
        let url = format!("postgres://u@127.0.0.1:{silent}/d?sslmode={mode}");
        let told = check_with(&["--timeout", "1", &url], &[]).await;
        demand(&told, &url, "PG07", 3, "load balancer");
    }
    let closing = listener(async |stream: TcpStream| drop(stream)).await;
    let told = expect(
        &format!("postgres://u@127.0.0.1:{closing}/d"),
        "PG07",
        3,
        "load balancer",
    )
    .await;
    assert_eq!(told.json["phase"], "P3");
    let web = listener(async |mut stream: TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    for mode in ["disable", "prefer"] {
        let url = format!("postgres://u@127.0.0.1:{web}/d?sslmode={mode}");
        expect(&url, "PG08", 3, "another service").await;
    }
}

/// A message of the protocol.
fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut message = BytesMut::new();
    message.put_u8(tag);
    message.put_u32(u32::try_from(body.len() + 4).unwrap());
    message.put_slice(body);
    message.to_vec()
}

/// Reads the startup message, then answers `answer` and waits for the end.
async fn answering(answer: Vec<u8>) -> u16 {
    listener(move |mut stream: TcpStream| {
        let answer = answer.clone();
        async move {
            let length = stream.read_u32().await.unwrap();
            let mut startup = vec![0; length as usize - 4];
            stream.read_exact(&mut startup).await.unwrap();
            stream.write_all(&answer).await.unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        }
    })
    .await
}

#[actix_web::test]
async fn a_hostile_server_writes_nothing_on_the_terminal() {
    let text =
        "SFATAL\0C28P01\0MFalsches \u{1b}]0;Passwort\u{7} f\u{fc}r \u{202e}\0Rauth_failed\0\0";
    let port = answering(message(b'E', text.as_bytes())).await;
    let url = format!("postgres://u:p@127.0.0.1:{port}/d?sslmode=disable");
    // In whatever language: the code decides.
    let told = expect(&url, "PG22", 5, "ALTER ROLE").await;
    let said = told.json["findings"][0]["server"]["message"]
        .as_str()
        .unwrap();
    assert_eq!(said, "Falsches \\u{1b}]0;Passwort\\u{7} für \\u{202e}");
    assert!(!told.all.chars().any(|c| c.is_control() && c != '\n'));
}

#[actix_web::test]
async fn an_endless_message_is_not_waited_for() {
    let mut answer = vec![b'R'];
    answer.extend(u32::MAX.to_be_bytes());
    let port = answering(answer).await;
    expect(
        &format!("postgres://u:p@127.0.0.1:{port}/d?sslmode=disable"),
        "PG08",
        3,
        "another",
    )
    .await;
}

#[actix_web::test]
async fn a_server_that_is_too_old_is_told_before_it_is_asked_anything() {
    let answer = [
        message(b'R', &0u32.to_be_bytes()),
        message(b'S', b"server_version\x009.6.24\0"),
        message(b'Z', b"I"),
    ]
    .concat();
    let port = answering(answer).await;
    let url = format!("postgres://u@127.0.0.1:{port}/d?sslmode=disable");
    let told = expect(&url, "PG42", 6, "14").await;
    assert!(told.finding("PG25").is_some(), "trust: {}", told.all);
}

#[actix_web::test]
async fn a_password_is_not_sent_in_cleartext() {
    let port = answering(message(b'R', &3u32.to_be_bytes())).await;
    let url = format!("postgres://u:hunter2@127.0.0.1:{port}/d?sslmode=disable");
    expect(&url, "PG25", 5, "scram-sha-256").await;
}

#[actix_web::test]
async fn an_address_that_was_found_out_before_is_not_asked_for_again() {
    let port = free_port();
    let url = DatabaseUrl::parse(&format!("postgres://u@nosuch.invalid:{port}/d")).unwrap();
    let target = Target {
        url: &url,
        schema: "public",
        patience: Duration::from_secs(1),
        pool: Pool {
            size: 15,
            idle_timeout: Duration::from_mins(10),
        },
        addresses: Some(&["127.0.0.1".parse().unwrap()]),
        clock: &SystemClock,
    };
    let report = check_here(&target).await;
    assert_eq!(report.code, Some(Class::Refused));
    assert_eq!(report.addresses, ["127.0.0.1"]);
}
