//! A client that costs next to nothing, because it shares the cores with what it measures:
//! requests are written once, and of an answer only what is needed is read.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// No answer takes longer, or the measurement has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks whether somebody answers.
const LOOK: Duration = Duration::from_millis(1);

/// Asks for a path until somebody answers; returns the status.
///
/// # Errors
///
/// If nobody does in 30 s.
pub fn wait_for(address: &str, path: &str) -> anyhow::Result<u16> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let question = request("GET", path, None, "");
    let ask = async {
        loop {
            if let Ok(mut connection) = Connection::open(address).await
                && let Ok(answer) = connection.send(&question).await
            {
                return answer.status;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    runtime
        .block_on(async { timeout(PATIENCE, ask).await })
        .context("nobody answers")
}

/// One connection that is kept alive.
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// What of an answer matters.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
    /// The status line and the headers.
    pub head: String,
    pub body: Vec<u8>,
}

/// The bytes of a request with a JSON body, or without any body if `body` is empty.
pub fn request(method: &str, path: &str, token: Option<&str>, body: &str) -> Vec<u8> {
    let token = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    let content = match body.len() {
        0 => String::new(),
        length => format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{token}{content}\r\n{body}")
        .into_bytes()
}

impl Connection {
    pub async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            read: Vec::with_capacity(4096),
        })
    }

    /// Sends a request and waits for the whole answer.
    ///
    /// # Errors
    ///
    /// The connection's, an answer that is not HTTP/1.1 with a `Content-Length`, or none in time.
    pub async fn send(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        timeout(PATIENCE, self.exchange(request))
            .await
            .context("no answer in 30 s")?
    }

    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.stream.write_all(request).await?;
        let end = loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                break end;
            }
            self.more().await?;
        };
        let head = std::str::from_utf8(&self.read[..end])?;
        let (status, length, retry_after) = understand(head)?;
        let head = head.to_owned();
        let whole = end + 4 + length;
        while self.read.len() < whole {
            self.more().await?;
        }
        let body = self.read[end + 4..whole].to_vec();
        self.read.drain(..whole);
        Ok(Answer {
            status,
            retry_after,
            head,
            body,
        })
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        let count = self.stream.read_buf(&mut self.read).await?;
        ensure!(count > 0, "the connection was closed");
        Ok(())
    }
}

/// Status, `Content-Length` and `Retry-After`.
fn understand(head: &str) -> anyhow::Result<(u16, usize, Option<u64>)> {
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok())
        .with_context(|| format!("not an answer: {head}"))?;
    let (mut length, mut retry_after) = (None, None);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse()?);
        } else if name.eq_ignore_ascii_case("retry-after") {
            retry_after = Some(value.trim().parse()?);
        }
    }
    let Some(length) = length else {
        bail!("an answer without Content-Length: {head}");
    };
    Ok((status, length, retry_after))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_an_answer_is_understood_whatever_the_case_of_its_names() {
        let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-LENGTH: 12\r\nRetry-After: 1";
        assert_eq!(understand(head).unwrap(), (503, 12, Some(1)));
    }

    #[test]
    fn an_answer_of_unknown_length_is_an_error() {
        assert!(understand("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked").is_err());
        assert!(understand("nonsense").is_err());
    }
}
