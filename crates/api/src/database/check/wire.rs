//! One connection that speaks PostgreSQL's protocol, version 3.
//!
//! The driver would hide what a check wants to know: which authentication the server asked for, what
//! its certificate says, which routine raised an error. Simple queries only, so that it works behind
//! every pooler.

use std::{collections::BTreeMap, io, time::Duration};

use bytes::BytesMut;
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::{
    backend::{ErrorFields, Message},
    frontend,
};
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, timeout_at},
};

use super::text::printable;

/// A message longer than this is none that a check asked for.
const LONGEST_MESSAGE: usize = 4 << 20;
/// Before the login even less is believed, as libpq does.
const LONGEST_EARLY_MESSAGE: usize = 30_000;

/// What bytes go through: TCP, TLS, a Unix socket.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What the server said was wrong. All texts have their control characters escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ServerError {
    /// The SQLSTATE, of five characters.
    pub sqlstate: String,
    /// In the server's language.
    pub message: String,
    /// More of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the server advises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The function of the server that raised it; never translated. Poolers have none.
    #[serde(skip)]
    pub routine: String,
    /// Whether it was the answer to a password: poolers have one SQLSTATE for all refusals.
    #[serde(skip)]
    pub answers_password: bool,
}

impl ServerError {
    fn read(mut fields: ErrorFields<'_>) -> Self {
        let mut error = Self::default();
        while let Ok(Some(field)) = fields.next() {
            let text = printable(&String::from_utf8_lossy(field.value_bytes()));
            match field.type_() {
                b'C' => error.sqlstate = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                b'H' => error.hint = Some(text),
                b'R' => error.routine = text,
                _ => {}
            }
        }
        error
    }
}

/// Why a conversation ended.
#[derive(Debug)]
pub enum Fault {
    /// Nothing came in time.
    Silent,
    /// The connection broke, or TLS did.
    Io(io::Error),
    /// What came is not of this protocol.
    NotPostgres(String),
    /// The server said no.
    Server(Box<ServerError>),
    /// The server asks for an authentication that is not given: which one.
    Method(&'static str),
    /// The server asks for a password, and there is none.
    NoPassword,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The values of a row, as text; `None` is NULL.
pub type Row = Vec<Option<String>>;

/// The connection.
pub struct Wire {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
    patience: Duration,
    longest: usize,
    /// What the server reported about itself, such as `server_version`.
    pub parameters: BTreeMap<String, String>,
    /// The process that the server, or the pooler before it, says it is.
    pub process: i32,
}

impl Wire {
    /// Talks through `stream`; each question and its answer take at most `patience` together.
    pub fn new(stream: Box<dyn Stream>, patience: Duration) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            patience,
            longest: LONGEST_EARLY_MESSAGE,
            parameters: BTreeMap::new(),
            process: 0,
        }
    }

    /// When the answer to what is asked now has to be there.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// From now on long answers are taken, because the server has let us in.
    pub fn is_trusted(&mut self) {
        self.longest = LONGEST_MESSAGE;
    }

    /// Sends what `write` puts into the buffer.
    pub async fn send(
        &mut self,
        deadline: Instant,
        write: impl FnOnce(&mut BytesMut) -> io::Result<()>,
    ) -> Result<(), Fault> {
        let mut out = BytesMut::new();
        write(&mut out)?;
        let sending = async {
            self.stream.write_all(&out).await?;
            self.stream.flush().await
        };
        match timeout_at(deadline, sending).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(Fault::Silent),
        }
    }

    /// The next message that is no notice and no report of a parameter. An error of the server is
    /// a fault.
    pub async fn receive(&mut self, deadline: Instant) -> Result<Message, Fault> {
        loop {
            match self.message(deadline).await? {
                Message::ErrorResponse(body) => {
                    let error = ServerError::read(body.fields());
                    return Err(Fault::Server(Box::new(error)));
                }
                Message::ParameterStatus(body) => {
                    if let (Ok(name), Ok(value)) = (body.name(), body.value()) {
                        self.parameters.insert(printable(name), printable(value));
                    }
                }
                Message::BackendKeyData(body) => self.process = body.process_id(),
                Message::NoticeResponse(_) | Message::NotificationResponse(_) => {}
                message => return Ok(message),
            }
        }
    }

    async fn message(&mut self, deadline: Instant) -> Result<Message, Fault> {
        loop {
            if let Some(first) = self
                .buffer
                .first()
                .filter(|byte| !byte.is_ascii_alphanumeric())
            {
                return Err(Fault::NotPostgres(format!("byte 0x{first:02x}")));
            }
            if let Some(length) = self.buffer.get(1..5) {
                let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
                if length < 4 || length as usize > self.longest {
                    let start = String::from_utf8_lossy(&self.buffer);
                    let start: String = start.chars().take(8).collect();
                    return Err(Fault::NotPostgres(printable(&start)));
                }
            }
            if let Some(message) = Message::parse(&mut self.buffer)
                .map_err(|error| Fault::NotPostgres(error.to_string()))?
            {
                return Ok(message);
            }
            let reading = self.stream.read_buf(&mut self.buffer);
            match timeout_at(deadline, reading).await {
                Ok(Ok(0)) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(read) => read?,
                Err(_) => return Err(Fault::Silent),
            };
        }
    }

    /// Runs one or more statements and returns the rows of all.
    ///
    /// # Errors
    ///
    /// The server's first one; the connection is good for the next question then.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Row>, Fault> {
        let deadline = self.deadline();
        self.send(deadline, |out| frontend::query(sql, out)).await?;
        let mut rows = Vec::new();
        let mut failed = None;
        loop {
            match self.receive(deadline).await {
                Ok(Message::DataRow(body)) => {
                    let bytes = body.buffer();
                    let text = |range: std::ops::Range<usize>| {
                        String::from_utf8_lossy(&bytes[range]).into_owned()
                    };
                    rows.push(body.ranges().map(|range| Ok(range.map(text))).collect()?);
                }
                Ok(Message::ReadyForQuery(_)) => break,
                Ok(_) => {}
                // After a fatal one the connection ends: the next receive says so.
                Err(Fault::Server(error)) => failed = failed.or(Some(error)),
                Err(Fault::Io(_)) if failed.is_some() => break,
                Err(fault) => return Err(fault),
            }
        }
        failed.map_or(Ok(rows), |error| Err(Fault::Server(error)))
    }

    /// The JSON document that a statement answers with, in one row of one column.
    ///
    /// # Errors
    ///
    /// As of [`Wire::query`]; [`Fault::NotPostgres`] for an answer of another shape.
    pub async fn ask<T: DeserializeOwned>(&mut self, sql: &str) -> Result<T, Fault> {
        let rows = self.query(sql).await?;
        let first = rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next());
        let text = first.flatten().unwrap_or_else(|| "null".to_owned());
        serde_json::from_str(&text)
            .map_err(|error| Fault::NotPostgres(format!("an unexpected answer: {error}")))
    }

    /// Prepares `sql` under `name`, as drivers do.
    ///
    /// # Errors
    ///
    /// As of [`Wire::query`].
    pub async fn prepare(&mut self, name: &str, sql: &str) -> Result<(), Fault> {
        let deadline = self.deadline();
        self.send(deadline, |out| {
            frontend::parse(name, sql, [], out)?;
            frontend::sync(out);
            Ok(())
        })
        .await?;
        let mut failed = None;
        loop {
            match self.receive(deadline).await {
                Ok(Message::ReadyForQuery(_)) => break,
                Ok(_) => {}
                Err(Fault::Server(error)) => failed = Some(error),
                Err(fault) => return Err(fault),
            }
        }
        failed.map_or(Ok(()), |error| Err(Fault::Server(error)))
    }

    /// Says goodbye. A server that does not hear it notices by itself.
    pub async fn close(mut self) {
        let deadline = self.deadline();
        let goodbye = self.send(deadline, |out| {
            frontend::terminate(out);
            Ok(())
        });
        if goodbye.await.is_ok() {
            let _ = timeout_at(deadline, self.stream.shutdown()).await;
        }
    }

    /// Asks whether the server speaks TLS, on a stream on which nothing was said yet, and returns
    /// the byte that it answers with.
    pub async fn ssl_request(
        stream: &mut (impl Stream + ?Sized),
        deadline: Instant,
    ) -> Result<u8, Fault> {
        let mut out = BytesMut::with_capacity(8);
        frontend::ssl_request(&mut out);
        let exchange = async {
            stream.write_all(&out).await?;
            stream.read_u8().await
        };
        match timeout_at(deadline, exchange).await {
            Ok(byte) => Ok(byte?),
            Err(_) => Err(Fault::Silent),
        }
    }
}
