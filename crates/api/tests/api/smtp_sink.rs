//! A small SMTP server on loopback that keeps what it is given and misbehaves as told.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use std::path::{Path, PathBuf};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

/// What happens to one mail.
#[derive(Clone, Copy)]
pub enum Answer {
    /// It is taken.
    Accept,
    /// Its recipient gets this line.
    Refuse(&'static str),
    /// The connection ends when the content is there, before an answer.
    HangUp,
    /// It is taken, and the answer never comes.
    Silence,
}

/// Stands in [`SmtpSink::commands`] where encryption begins.
pub const ENCRYPTED: &str = "(encrypted)";

#[derive(Default)]
struct State {
    mails: Vec<ReceivedMail>,
    answers: VecDeque<Answer>,
    commands: Vec<String>,
    takes_logins: bool,
    is_held: bool,
}

/// A certificate for `localhost`, and the authority that signed it.
pub struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    /// Has OpenSSL make both.
    pub async fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
        let authority = format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=test");
        let own = format!(
            "req -x509 {key} -CA ca.pem -CAkey ca.key -keyout own.key -out own.pem \
             -subj /CN=localhost -addext subjectAltName=DNS:localhost \
             -addext basicConstraints=critical,CA:FALSE"
        );
        for arguments in [authority, own] {
            let made = Command::new("openssl")
                .args(arguments.split_whitespace())
                .current_dir(folder.path())
                .output()
                .await
                .expect("openssl is installed");
            let said = String::from_utf8_lossy(&made.stderr);
            assert!(made.status.success(), "{said}");
        }
        Self { folder }
    }

    /// Where the authority's certificate stands.
    pub fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::join(self.folder.path(), name)
    }

    fn acceptor(&self) -> TlsAcceptor {
        let certificate = CertificateDer::from_pem_file(self.path("own.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.path("own.key")).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// What the server was given.
#[derive(Clone)]
pub struct ReceivedMail {
    /// The envelope's recipient.
    pub to: String,
    /// Headers and body as they came, lines ended by `\n`.
    pub content: String,
}

/// A running server; it ends with the test.
#[derive(Clone)]
pub struct SmtpSink {
    port: u16,
    state: Arc<Mutex<State>>,
    received: Arc<Notify>,
    tls: Option<TlsAcceptor>,
}

impl SmtpSink {
    /// Listens on a free port.
    pub async fn start() -> Self {
        Self::listen(None).await
    }

    /// The same, with STARTTLS; takes mail only after a login, and a login only encrypted.
    pub async fn start_tls(certificate: &Certificate) -> Self {
        Self::listen(Some(certificate.acceptor())).await
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let sink = Self {
            port: listener.local_addr().expect("it listens").port(),
            state: Arc::default(),
            received: Arc::default(),
            tls,
        };
        let server = sink.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                // A client that goes away is part of the tests.
                tokio::spawn(async move { server.serve(stream).await.ok() });
            }
        });
        sink
    }

    /// Its URL for a client that demands encryption and logs in.
    pub fn secure_url(&self) -> String {
        format!("smtp://user:hunter2@localhost:{}?tls=required", self.port)
    }

    /// From now on logins are taken.
    pub fn take_logins(&self) {
        self.lock().takes_logins = true;
    }

    /// Whether new connections get no word from the server.
    pub fn hold(&self, is_held: bool) {
        self.lock().is_held = is_held;
    }

    /// Its URL, with these parameters.
    pub fn url(&self, query: &str) -> String {
        format!("smtp://127.0.0.1:{}?{query}", self.port)
    }

    /// As [`url`](Self::url), with a login.
    pub fn url_with_login(&self, query: &str) -> String {
        format!("smtp://user:hunter2@127.0.0.1:{}?{query}", self.port)
    }

    /// The answers to the next mails; after them every mail is accepted.
    pub fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.lock().answers.extend(answers);
    }

    /// What came so far.
    pub fn mails(&self) -> Vec<ReceivedMail> {
        self.lock().mails.clone()
    }

    /// Every command line so far.
    pub fn commands(&self) -> Vec<String> {
        self.lock().commands.clone()
    }

    /// Resolves when a mail has come since the last call.
    pub async fn received(&self) {
        self.received.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        if self.lock().is_held {
            std::future::pending::<()>().await;
        }
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 sink ESMTP\r\n").await?;
        if let Some(acceptor) = &self.tls {
            if self.talk(&mut stream, Phase::Plain).await? {
                self.lock().commands.push(ENCRYPTED.to_owned());
                let stream = acceptor.accept(stream.into_inner()).await?;
                let mut stream = BufReader::new(stream);
                self.talk(&mut stream, Phase::Encrypted).await?;
            }
        } else {
            self.talk(&mut stream, Phase::Only).await?;
        }
        Ok(())
    }

    /// Answers commands; `true` if encryption is to begin.
    async fn talk<S>(&self, stream: &mut BufReader<S>, phase: Phase) -> std::io::Result<bool>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut to, mut answer) = (String::new(), Answer::Accept);
        let mut may_send = matches!(phase, Phase::Only);
        while let Some(line) = next_line(stream).await? {
            self.lock().commands.push(line.clone());
            let verb = line.split([' ', ':']).next().unwrap_or("").to_uppercase();
            let reply = match verb.as_str() {
                "EHLO" => match phase {
                    Phase::Plain => "250-sink\r\n250-STARTTLS\r\n250 8BITMIME",
                    _ => "250-sink\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME",
                },
                "STARTTLS" if matches!(phase, Phase::Plain) => {
                    stream.write_all(b"220 go on\r\n").await?;
                    return Ok(true);
                }
                "AUTH" if self.lock().takes_logins && !matches!(phase, Phase::Plain) => {
                    may_send = true;
                    "235 2.7.0 welcome"
                }
                "AUTH" => "535 5.7.8 no such login",
                "MAIL" if !may_send => "530 5.7.0 log in first",
                "RCPT" => {
                    answer = self.lock().answers.pop_front().unwrap_or(Answer::Accept);
                    line.trim_start_matches("RCPT TO:").clone_into(&mut to);
                    match answer {
                        Answer::Refuse(reply) => reply,
                        _ => "250 OK",
                    }
                }
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    let content = self.content(stream).await?;
                    if !matches!(answer, Answer::HangUp) {
                        let to = to.clone();
                        self.lock().mails.push(ReceivedMail { to, content });
                    }
                    self.received.notify_one();
                    match answer {
                        Answer::HangUp => return Ok(false),
                        Answer::Silence => std::future::pending().await,
                        _ => "250 taken",
                    }
                }
                "QUIT" => "221 bye",
                _ => "250 OK",
            };
            stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
            stream.flush().await?;
        }
        Ok(false)
    }

    async fn content<S>(&self, stream: &mut BufReader<S>) -> std::io::Result<String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut content = String::new();
        while let Some(line) = next_line(stream).await? {
            if line == "." {
                break;
            }
            content.push_str(&line);
            content.push('\n');
        }
        Ok(content)
    }
}

/// What a connection is in the course of.
#[derive(Clone, Copy)]
enum Phase {
    /// Without encryption, on a server that has none.
    Only,
    /// Before encryption.
    Plain,
    /// Within it.
    Encrypted,
}

async fn next_line<S>(stream: &mut BufReader<S>) -> std::io::Result<Option<String>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut line = String::new();
    let read = stream.read_line(&mut line).await?;
    Ok((read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
}
