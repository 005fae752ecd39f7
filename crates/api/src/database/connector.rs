//! Which server the pool is connected to.
//!
//! The driver knows one address. Here stand all that `DATABASE_URL` names, and the rules by which
//! one of them is taken: it answers in time, takes writes, holds the same data as before, and its
//! history is not older than what was seen already. Each new connection is held to the same rules
//! before it is used, so a server that comes back with an old state gets no request.

mod facts;
mod lineage;
mod probe;
mod watch;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use thiserror::Error;
use tokio::{sync::Notify, task::JoinSet, time::timeout};

pub(super) use self::watch::watch;
use self::{facts::Facts, lineage::Lineage};
use super::url::DatabaseUrl;
use crate::config::DatabaseConfig;

/// A server that answers later than the first good one by more is not waited for.
const STRAGGLER: Duration = Duration::from_secs(1);
/// A sign of life that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(1);

/// The servers that hold the database, and what is known of them.
pub struct Connector {
    /// One place each, in the order of the URL.
    places: Vec<DatabaseUrl>,
    schema: String,
    echo: bool,
    /// The limit of a statement outside of transactions, in milliseconds.
    statement_timeout: u128,
    lineage: Arc<Lineage>,
    /// Connections that were made before are not used any more.
    retired_before: Mutex<Option<Instant>>,
    /// Somebody got no connection.
    nudged: Notify,
}

/// A connection to the server to use, and how to make more.
pub struct Chosen {
    /// For the next connections.
    pub options: PgConnectOptions,
    /// Where it is, as `host:port`.
    pub place: String,
    /// One that was made.
    pub connection: PgConnection,
    facts: Facts,
    /// The place in the list, and the attempt that succeeded there.
    which: (usize, usize),
}

/// Why a server is not used although it answers.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Writes would fail.
    #[error("it is a standby, which takes no writes")]
    Standby,
    /// Writes would fail.
    #[error("it takes no writes: default_transaction_read_only is on")]
    ReadOnly,
    /// Another database cluster.
    #[error("it is another server than before: its system identifier is {found}, and was {known}")]
    OtherServer {
        /// What it says.
        found: i64,
        /// What the one before said.
        known: i64,
    },
    /// A primary that was replaced.
    #[error(
        "it is a former primary: its timeline is {found}, and {known} was seen already. \
         Make it a standby of the new one (pg_rewind or pg_basebackup)"
    )]
    FormerPrimary {
        /// Where it stands.
        found: i32,
        /// What was seen.
        known: i32,
    },
}

/// Why one place brought no connection.
#[derive(Debug, Error)]
pub enum Fault {
    /// The driver's or the server's.
    #[error("{0}")]
    Sql(#[from] sqlx::Error),
    /// Nothing came.
    #[error("no answer within {0:?}")]
    Silence(Duration),
    /// It answers, but will not do.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// `PgBouncer` and the like.
    #[error(
        "a pooler stands there and refuses startup options: add statement-cache-capacity=0 to the URL"
    )]
    Pooler,
}

/// No place brought a connection.
#[derive(Debug, Error)]
#[error("{}", .0.iter().map(|(place, fault)| format!("{place}: {fault}")).collect::<Vec<_>>().join("; "))]
pub struct Unreachable(pub Vec<(String, Fault)>);

impl Unreachable {
    /// Whether waiting may help: not with a wrong password or a database that does not exist.
    pub fn may_pass(&self) -> bool {
        self.0.iter().any(|(_, fault)| match fault {
            Fault::Sql(sqlx::Error::Database(database)) => database
                .code()
                .is_some_and(|code| code.starts_with("57") || code.starts_with("53")),
            Fault::Sql(sqlx::Error::Io(error)) => error.kind() != std::io::ErrorKind::InvalidData,
            Fault::Silence(_) | Fault::Refused(_) => true,
            Fault::Sql(_) | Fault::Pooler => false,
        })
    }
}

impl Connector {
    /// For the servers of `url`.
    pub fn new(config: &DatabaseConfig, url: &DatabaseUrl) -> Arc<Self> {
        Self::with_lineage(config, url, Arc::default())
    }

    /// For other addresses of the same servers.
    pub(super) fn beside(
        self: &Arc<Self>,
        config: &DatabaseConfig,
        url: &DatabaseUrl,
    ) -> Arc<Self> {
        Self::with_lineage(config, url, Arc::clone(&self.lineage))
    }

    fn with_lineage(
        config: &DatabaseConfig,
        url: &DatabaseUrl,
        lineage: Arc<Lineage>,
    ) -> Arc<Self> {
        Arc::new(Self {
            places: url.each(),
            schema: config.schema.clone(),
            echo: config.echo,
            statement_timeout: config.request_statement_timeout().as_millis(),
            lineage,
            retired_before: Mutex::new(None),
            nudged: Notify::new(),
        })
    }

    /// Whether nothing outlives a transaction.
    pub(super) fn is_pooled(&self) -> bool {
        self.places[0].is_pooled()
    }

    /// What sets the schema within a transaction, where the session cannot.
    pub(super) fn local_schema(&self) -> String {
        if self.is_pooled() && self.schema != "public" {
            format!(" SET LOCAL search_path = \"{}\";", self.schema)
        } else {
            String::new()
        }
    }

    /// Has `forget` called when the data may have gone back in time.
    pub fn on_new_timeline(&self, forget: impl Fn() + Send + Sync + 'static) {
        self.lineage.on_change(Box::new(forget));
    }

    /// Tries all places at once, and takes the first in the order of the URL among those with the
    /// longest history.
    ///
    /// # Errors
    ///
    /// What each said, when none will do.
    pub async fn choose(self: &Arc<Self>) -> Result<Chosen, Unreachable> {
        let mut probes = JoinSet::new();
        for index in 0..self.places.len() {
            let connector = Arc::clone(self);
            probes.spawn(async move { (index, probe::probe(&connector, index).await) });
        }
        let (mut good, mut faults) = (Vec::<Chosen>::new(), Vec::new());
        loop {
            let next = if good.is_empty() {
                probes.join_next().await
            } else {
                timeout(STRAGGLER, probes.join_next()).await.unwrap_or(None)
            };
            match next {
                Some(Ok((_, Ok(chosen)))) => good.push(chosen),
                Some(Ok((index, Err(fault)))) => faults.push((self.place(index), fault)),
                Some(Err(error)) => tracing::error!(%error, "a probe of the database failed"),
                None => break,
            }
        }
        if let Some(fault) = of_two_databases(&good) {
            faults.push(fault);
            return Err(Unreachable(faults));
        }
        good.sort_by_key(|chosen| (std::cmp::Reverse(chosen.facts.timeline()), chosen.which));
        if good.is_empty() {
            return Err(Unreachable(faults));
        }
        let mut chosen = good.swap_remove(0);
        if let Err(fault) = self.admit(&mut chosen.connection, &chosen.facts).await {
            faults.push((chosen.place, fault));
            return Err(Unreachable(faults));
        }
        Ok(chosen)
    }

    /// Holds a new connection to the rules, before it is used.
    pub(super) async fn inspect(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let fault = match self.look(connection).await {
            Ok(facts) => self.admit(connection, &facts).await.err(),
            Err(fault) => Some(fault),
        };
        let Some(fault) = fault else { return Ok(()) };
        self.nudge();
        Err(match fault {
            Fault::Sql(error) => error,
            other => sqlx::Error::Configuration(other.into()),
        })
    }

    async fn look(&self, connection: &mut PgConnection) -> Result<Facts, Fault> {
        let limit = self.places[0].connect_timeout();
        let facts = timeout(limit, facts::read(connection, &self.lineage)).await;
        Ok(facts.map_err(|_| Fault::Silence(limit))??)
    }

    /// Refuses what will not do. The first connection to a new primary also writes down that it is
    /// one, which ends the sessions that were opened before.
    async fn admit(&self, connection: &mut PgConnection, facts: &Facts) -> Result<(), Fault> {
        self.check(facts)?;
        let limit = self.places[0].connect_timeout();
        let adopted = self.lineage.adopt(connection, facts, &self.schema);
        let adopted = timeout(limit, adopted).await;
        if adopted.map_err(|_| Fault::Silence(limit))?? {
            self.retire();
        }
        Ok(())
    }

    fn check(&self, facts: &Facts) -> Result<(), Refusal> {
        if self.places.len() > 1 || self.places[0].needs_primary() {
            if facts.is_standby {
                return Err(Refusal::Standby);
            }
            if facts.is_read_only {
                return Err(Refusal::ReadOnly);
            }
        }
        self.lineage.admit(facts)
    }

    /// Whether a connection of this age is not to be used any more.
    pub(super) fn is_retired(&self, age: Duration) -> bool {
        let before = *self.retired();
        let made = Instant::now().checked_sub(age);
        before.is_some_and(|before| made.is_none_or(|made| made < before))
    }

    /// No connection made until now is used any more.
    fn retire(&self) {
        *self.retired() = Some(Instant::now());
    }

    /// Nothing came back on a connection: the others lead to the same peer.
    pub fn suspect(&self) {
        tracing::warn!("the database does not answer: its connections are made anew");
        self.retire();
        self.nudge();
    }

    /// Asks for another look at the servers.
    pub(super) fn nudge(&self) {
        self.nudged.notify_one();
    }

    fn retired(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.retired_before
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The server of `chosen`, for who connects to it in another way.
    pub(super) fn options_of(&self, chosen: &Chosen) -> PgConnectOptions {
        let (place, attempt) = chosen.which;
        let attempts = self.places[place].attempts(self.echo);
        let (options, _) = attempts
            .into_iter()
            .nth(attempt)
            .unwrap_or_else(|| (self.places[place].to_connect_options(self.echo), ""));
        super::pool::in_schema(options, &self.schema)
    }

    fn place(&self, index: usize) -> String {
        self.places[index].addresses()[0].to_string()
    }

    /// What a session starts with, where it may say so: a pooler refuses it.
    fn session(&self, options: PgConnectOptions) -> PgConnectOptions {
        if self.is_pooled() {
            return options;
        }
        let limit = self.statement_timeout.to_string();
        let options = options.options([("statement_timeout", limit.as_str())]);
        super::pool::in_schema(options, &self.schema)
    }
}

/// Two that take writes and are not one after the other: whoever chose would guess.
fn of_two_databases(good: &[Chosen]) -> Option<(String, Fault)> {
    let mut systems = good
        .iter()
        .filter_map(|chosen| Some((chosen, chosen.facts.system?)));
    let (_, known) = systems.next()?;
    let (other, found) = systems.find(|(_, system)| *system != known)?;
    Some((
        other.place.clone(),
        Refusal::OtherServer { found, known }.into(),
    ))
}

impl Chosen {
    /// Ends the connection that was made.
    pub async fn part(self) -> PgConnectOptions {
        timeout(PATIENCE, self.connection.close()).await.ok();
        self.options
    }
}
