//! The six modes of TLS against real servers, and what libpq makes of them.

use std::{path::PathBuf, process::Command, sync::Arc, time::Duration};

use gatepost::database::pool;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use sea_orm::{ConnectionTrait, Statement};

use crate::{
    databases::read_config,
    harness::TestApp,
    own_server::{OwnServer, run},
};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key, as PEM.
fn certificate(
    authority: &Authority,
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> (String, String) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

struct Tls {
    server: OwnServer,
    ours: Authority,
    folder: tempfile::TempDir,
}

impl Tls {
    async fn start() -> Self {
        let server = OwnServer::start();
        server.set_up().await;
        let ours = authority("ours");
        let folder = tempfile::tempdir().unwrap();
        let tls = Self {
            server,
            ours,
            folder,
        };
        tls.file("ours.pem", &tls.ours.pem());
        tls.file("other.pem", &authority("other").pem());
        tls.serve("localhost", |_| ());
        tls.server.write("clients.pem", &tls.ours.pem());
        tls.server
            .sql("postgres", "ALTER SYSTEM SET ssl_ca_file = 'clients.pem'");
        tls.set(true);
        tls
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Gives the server a certificate of our authority.
    fn serve(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let (certificate, key) = certificate(&self.ours, name, change);
        self.server.write("server.key", &key);
        self.server.write("server.crt", &certificate);
        self.server.reload();
    }

    fn set(&self, on: bool) {
        let sql = format!("ALTER SYSTEM SET ssl = {on}");
        self.server.sql("postgres", &sql);
        self.server.reload();
    }

    fn hba(&self, line: &str) {
        let text = format!("local all postgres trust\n{line}\n");
        self.server.write("pg_hba.conf", &text);
        self.server.reload();
    }

    fn url(&self, query: &str) -> String {
        let query = query
            .replace("OURS", self.path("ours.pem").to_str().unwrap())
            .replace("OTHER", self.path("other.pem").to_str().unwrap())
            .replace("CERT", self.path("client.pem").to_str().unwrap())
            .replace("KEY", self.path("client.key").to_str().unwrap());
        let port = self.server.port;
        format!("postgres://gatepost_api:pw@localhost:{port}/gatepost?{query}")
    }

    /// Whether the connection is encrypted, or why there is none.
    async fn connect(&self, query: &str) -> Result<bool, String> {
        let url = self.url(query);
        let config = read_config(&[
            ("DATABASE_URL", &url),
            ("DATABASE_MIN_SIZE", "0"),
            ("DATABASE_ACQUIRE_TIMEOUT", "2s"),
        ]);
        let mut database = config.database;
        // A refusal that could pass is not waited for.
        database.startup_timeout = Duration::ZERO;
        let url = database.url.clone().unwrap();
        let db = pool::open(&database, &url, &Arc::default()).await;
        let db = db.map_err(|error| format!("{error:#}"))?;
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let statement = Statement::from_string(sea_orm::DbBackend::Postgres, sql);
        let row = db.query_one_raw(statement).await.unwrap().unwrap();
        let is_encrypted = row.try_get("", "ssl").unwrap();
        db.close().await;
        Ok(is_encrypted)
    }

    /// What libpq makes of the same URL.
    fn libpq(&self, query: &str) -> Result<bool, String> {
        let mut psql = Command::new(crate::own_server::path_of("psql"));
        psql.args(["-qAtX", "-d", &self.url(query), "-c"])
            .arg("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            .env("HOME", self.folder.path())
            .env("PGGSSENCMODE", "disable");
        let output = psql.output().unwrap();
        if output.status.success() {
            return Ok(output.stdout.starts_with(b"t"));
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Asserts that we and libpq both do as `expected`: encrypted, plain, or refused.
    async fn agree(&self, when: &str, cases: &[(&str, Option<bool>)]) {
        for (query, expected) in cases {
            let theirs = self.libpq(query);
            let ours = self.connect(query).await;
            assert_eq!(
                theirs.as_ref().ok(),
                expected.as_ref(),
                "libpq, {when}: {query}: {theirs:?}"
            );
            assert_eq!(
                ours.as_ref().ok(),
                expected.as_ref(),
                "{when}: {query}: {ours:?}"
            );
        }
    }
}

const TLS: Option<bool> = Some(true);
const PLAIN: Option<bool> = Some(false);
const REFUSED: Option<bool> = None;

#[actix_web::test]
async fn each_mode_means_what_it_means_to_libpq() {
    let tls = Tls::start().await;
    tls.agree(
        "a good certificate",
        &[
            ("sslmode=disable", PLAIN),
            ("sslmode=allow", PLAIN),
            ("sslmode=prefer", TLS),
            ("sslmode=require", TLS),
            ("sslmode=require&sslrootcert=OURS", TLS),
            ("sslmode=require&sslrootcert=OTHER", REFUSED),
            ("sslmode=verify-ca&sslrootcert=OURS", TLS),
            ("sslmode=verify-ca&sslrootcert=OTHER", REFUSED),
            ("sslmode=verify-full&sslrootcert=OURS", TLS),
            ("sslmode=verify-full&sslrootcert=OTHER", REFUSED),
        ],
    )
    .await;
    tls.serve("db.internal", |_| ());
    tls.agree(
        "another name",
        &[
            ("sslmode=require", TLS),
            ("sslmode=require&sslrootcert=OURS", TLS),
            ("sslmode=verify-ca&sslrootcert=OURS", TLS),
            ("sslmode=verify-full&sslrootcert=OURS", REFUSED),
        ],
    )
    .await;
    tls.serve("localhost", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    tls.agree(
        "an expired certificate",
        &[
            ("sslmode=require", TLS),
            ("sslmode=require&sslrootcert=OURS", REFUSED),
            ("sslmode=verify-ca&sslrootcert=OURS", REFUSED),
            ("sslmode=verify-full&sslrootcert=OURS", REFUSED),
        ],
    )
    .await;
    tls.serve("localhost", |_| ());
    tls.hba("hostssl all all 127.0.0.1/32 trust\nhostssl all all ::1/128 trust");
    tls.agree(
        "TLS alone is let in",
        &[
            ("sslmode=disable", REFUSED),
            ("sslmode=allow", TLS),
            ("sslmode=prefer", TLS),
            ("sslmode=verify-full&sslrootcert=OURS", TLS),
        ],
    )
    .await;
    tls.hba("hostnossl all all 127.0.0.1/32 trust\nhostnossl all all ::1/128 trust");
    tls.agree(
        "TLS is turned away",
        &[
            ("sslmode=disable", PLAIN),
            ("sslmode=allow", PLAIN),
            ("sslmode=prefer", PLAIN),
            ("sslmode=require", REFUSED),
            ("sslmode=verify-full&sslrootcert=OURS", REFUSED),
        ],
    )
    .await;
    tls.hba("host all all 127.0.0.1/32 trust\nhost all all ::1/128 trust");
    tls.set(false);
    tls.agree(
        "no TLS at all",
        &[
            ("sslmode=disable", PLAIN),
            ("sslmode=allow", PLAIN),
            ("sslmode=prefer", PLAIN),
            ("sslmode=require", REFUSED),
            ("sslmode=require&sslrootcert=OURS", REFUSED),
            ("sslmode=verify-ca&sslrootcert=OURS", REFUSED),
            ("sslmode=verify-full&sslrootcert=OURS", REFUSED),
        ],
    )
    .await;
}

#[actix_web::test]
async fn a_client_shows_its_certificate_where_one_is_asked_for() {
    let tls = Tls::start().await;
    let asked = "hostssl all all 127.0.0.1/32 cert\nhostssl all all ::1/128 cert";
    tls.hba(asked);
    let (certificate, key) = certificate(&tls.ours, "gatepost_api", |_| ());
    tls.file("client.pem", &certificate);
    run(Command::new("chmod")
        .arg("600")
        .arg(tls.file("client.key", &key)));
    tls.agree(
        "a client certificate",
        &[
            ("sslmode=verify-full&sslrootcert=OURS", REFUSED),
            (
                "sslmode=verify-full&sslrootcert=OURS&sslcert=CERT&sslkey=KEY",
                TLS,
            ),
            ("sslmode=require&sslcert=CERT&sslkey=KEY", TLS),
        ],
    )
    .await;
}

#[actix_web::test]
async fn a_server_that_lets_go_of_tls_gets_no_plain_connection() {
    let tls = Tls::start().await;
    let url = tls.url("sslmode=verify-full&sslrootcert=OURS");
    let settings = [("DATABASE_ACQUIRE_TIMEOUT", "1s")];
    let app = TestApp::reaching(&url, &settings).await;
    let admin = app.admin().await;
    tls.set(false);
    // Those that there are live on; this takes them away.
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'gatepost_api'";
    tls.server.sql("postgres", kill);
    let plain = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'gatepost_api'";
    for _ in 0..5 {
        let answer = admin.get("/api/users/me/sessions").await;
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert_eq!(tls.server.sql("postgres", plain), "0");
    }
    tls.set(true);
    while admin.get("/api/users/me/sessions").await.status != 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[actix_web::test]
async fn a_certificate_is_changed_under_load_without_losing_a_request() {
    let tls = Tls::start().await;
    let url = tls.url("sslmode=verify-full&sslrootcert=OURS");
    // Connections are made anew all the time, with what the server has then.
    let settings = [("DATABASE_IDLE_TIMEOUT", "1s"), ("DATABASE_MAX_SIZE", "4")];
    let app = TestApp::reaching(&url, &settings).await;
    let admin = app.admin().await;
    let serial = || tls.server.sql("postgres", "SELECT pg_conf_load_time()");
    let mut answers = 0;
    for round in 0..6 {
        let before = serial();
        tls.serve("localhost", |_| ());
        while serial() == before {
            assert_eq!(admin.get("/api/users/me/sessions").await.status, 200);
        }
        // The pool forgets what it has, so that the next are made with the new certificate.
        app.state.db.connector().suspect();
        for _ in 0..20 {
            let many = (0..4).map(|_| admin.get("/api/users/me/sessions"));
            for answer in futures_util::future::join_all(many).await {
                assert_eq!(answer.status, 200, "round {round}: {}", answer.body);
                answers += 1;
            }
        }
    }
    println!("{answers} answers, none lost");
}
