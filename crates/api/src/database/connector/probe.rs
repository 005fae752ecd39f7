//! One direct connection to one place, with its own time limit.

use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use super::{Chosen, Connector, Fault};
use crate::database::url::SslMode;

/// Connects to the place at `index`, and looks whether it will do.
pub(super) async fn probe(connector: &Connector, index: usize) -> Result<Chosen, Fault> {
    let url = &connector.places[index];
    let attempts = url.attempts(connector.echo);
    let mut attempts = attempts.into_iter().enumerate().peekable();
    loop {
        // There is always a first, and the loop ends with the last.
        let Some((number, (options, name))) = attempts.next() else {
            return Err(Fault::Silence(url.connect_timeout()));
        };
        let options = connector.session(options);
        let limit = url.connect_timeout();
        let answer = timeout(limit, PgConnection::connect_with(&options)).await;
        let error = match answer {
            Err(_) => return Err(Fault::Silence(limit)),
            Ok(Ok(mut connection)) => {
                let facts = connector.look(&mut connection).await?;
                connector.check(&facts)?;
                if number > 0 {
                    let mode = url.ssl().mode.unwrap_or(SslMode::Prefer).as_str();
                    tracing::warn!(
                        place = connector.place(index),
                        sslmode = mode,
                        "connected {name}, because the server refused the first attempt"
                    );
                }
                return Ok(Chosen {
                    options,
                    place: connector.place(index),
                    connection,
                    facts,
                    which: (index, number),
                });
            }
            Ok(Err(error)) => error,
        };
        if is_options_refused(&error) {
            return Err(Fault::Pooler);
        }
        if attempts.peek().is_none() || !may_be_the_mode(&error) {
            return Err(error.into());
        }
        tracing::debug!(%error, place = connector.place(index), "trying the other mode");
    }
}

/// Whether the server could have refused because of TLS, or the lack of it: libpq goes on then.
fn may_be_the_mode(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => matches!(
            error.kind(),
            std::io::ErrorKind::InvalidData
                | std::io::ErrorKind::UnexpectedEof
                | std::io::ErrorKind::ConnectionReset
        ),
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("28")),
        _ => false,
    }
}

/// `unsupported startup parameter: options` of `PgBouncer`; nothing else answers a startup so.
fn is_options_refused(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("08P01"))
}
