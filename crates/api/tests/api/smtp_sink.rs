//! A small SMTP server on loopback that keeps what it is given and misbehaves as told.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

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

#[derive(Default)]
struct State {
    mails: Vec<ReceivedMail>,
    answers: VecDeque<Answer>,
    commands: Vec<String>,
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
}

impl SmtpSink {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let sink = Self {
            port: listener.local_addr().expect("it listens").port(),
            state: Arc::default(),
            received: Arc::default(),
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
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        writer.write_all(b"220 sink ESMTP\r\n").await?;
        let (mut to, mut answer) = (String::new(), Answer::Accept);
        while let Some(line) = lines.next_line().await? {
            self.lock().commands.push(line.clone());
            let verb = line.split([' ', ':']).next().unwrap_or("").to_uppercase();
            let reply = match verb.as_str() {
                "EHLO" => "250-sink\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME",
                "RCPT" => {
                    answer = self.lock().answers.pop_front().unwrap_or(Answer::Accept);
                    line.trim_start_matches("RCPT TO:").clone_into(&mut to);
                    match answer {
                        Answer::Refuse(reply) => reply,
                        _ => "250 OK",
                    }
                }
                "DATA" => {
                    writer.write_all(b"354 go on\r\n").await?;
                    let mut content = String::new();
                    while let Some(line) = lines.next_line().await? {
                        if line == "." {
                            break;
                        }
                        content.push_str(&line);
                        content.push('\n');
                    }
                    if !matches!(answer, Answer::HangUp) {
                        let to = to.clone();
                        self.lock().mails.push(ReceivedMail { to, content });
                    }
                    self.received.notify_one();
                    match answer {
                        Answer::HangUp => return Ok(()),
                        Answer::Silence => std::future::pending().await,
                        _ => "250 taken",
                    }
                }
                "AUTH" => "535 5.7.8 no such login",
                "QUIT" => "221 bye",
                _ => "250 OK",
            };
            writer.write_all(format!("{reply}\r\n").as_bytes()).await?;
        }
        Ok(())
    }
}
