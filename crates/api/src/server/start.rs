//! From settings to a state that can serve.

use std::{
    num::NonZero,
    sync::{Arc, Mutex, atomic::AtomicBool},
    thread,
};

use actix_web::web::Data;
use anyhow::Context;
use tokio::sync::{Semaphore, mpsc};

use crate::{
    access::seen::Seen,
    api_keys::usage::{self, Use},
    audit::verify::Position,
    clock::Clock,
    config::{Config, Environment, SecretKey},
    crypto::{
        keys::{SigningKeys, TokenRules},
        password::{Argon2Params, Decoys, PasswordHasher},
        seal::Sealer,
    },
    database::{
        db::Db,
        pool::{self, Single},
        url::DatabaseUrl,
    },
    decisions::queue::{DecisionLog, Waiting},
    mail::{Mailer, Outbox},
    policy::{
        Bundle, Catalog, Embedded, Policy, Remote, RemoteOptions, opa_bundle::BundleKey,
        source::Source, try_policy,
    },
    registration::break_glass::{self, BreakGlass},
    roles,
    state::AppState,
};

/// The two secrets that everything else is derived from.
pub struct Secrets {
    /// `SECRET_KEY`.
    pub key: SecretKey,
    /// `SECRET_KEY_PREVIOUS`.
    pub previous: Option<SecretKey>,
    /// `CSRF_SECRET_KEY`.
    pub csrf: SecretKey,
}

/// A process that is ready to serve, before its first request.
pub struct Started {
    /// What handlers reach.
    pub state: Data<AppState>,
    /// The worker that sends mail.
    pub outbox: Outbox,
    /// The connection that hears of changes; none behind a pooler that could not pass them on.
    pub listener: Option<Single>,
    /// Uses of API keys that are to be written down.
    pub key_uses: mpsc::Receiver<Use>,
    /// Decisions that are to be written down.
    pub decisions: Waiting,
    /// The administrator, if this start made them.
    pub break_glass: Option<BreakGlass>,
}

/// Builds the state on a migrated database.
///
/// # Errors
///
/// What is missing, for the one who starts the program.
pub async fn start(
    config: Config,
    url: &DatabaseUrl,
    secrets: &Secrets,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Started> {
    let stopping = Arc::default();
    let db = open_migrated(&config, url, &stopping).await?;
    let previous = secrets.previous.as_ref().map(SecretKey::expose);
    let sealer = Sealer::new(secrets.key.expose(), previous);
    let public_url: Arc<str> = config.public_url.as_str().trim_end_matches('/').into();
    let keys = signing_keys(&config, &db, &sealer, &public_url, &*clock).await?;
    let bundle = Bundle::load(config.policy.dir.as_deref()).context("the policy cannot be used")?;
    if config.policy.dir.is_some() {
        try_policy(&bundle).context("the policy in POLICY_DIR cannot be used")?;
    }
    let (policy, engine) = policy(&config, &bundle)?;
    let dir = config.policy.dir.clone();
    let parts = Parts {
        db,
        stopping,
        mailer: mailer(&config)?,
        sealer,
        keys,
        policy,
        source: Source::new(dir, bundle.clone(), engine, clock.now()),
        catalog: bundle.catalog().clone(),
        csrf_key: *Sealer::new(secrets.csrf.expose(), None).derive("csrf"),
    };
    let listener = listener(&config, url, &parts.db);
    let (state, queues) = assemble(config, parts, public_url, clock)?;
    let cache = Arc::clone(&state.cache);
    state
        .db
        .connector()
        .on_new_timeline(move || cache.forget_all());
    roles::service::sync_builtin(&state, bundle.builtin_roles()).await?;
    let break_glass = break_glass::ensure(&state).await?;
    Ok(Started {
        state: Data::new(state),
        outbox: queues.outbox,
        listener,
        key_uses: queues.key_uses,
        decisions: queues.decisions,
        break_glass,
    })
}

/// What a state is made of besides the settings.
struct Parts {
    db: Db,
    stopping: Arc<AtomicBool>,
    mailer: Mailer,
    sealer: Sealer,
    keys: SigningKeys,
    policy: Arc<dyn Policy>,
    source: Source,
    catalog: Catalog,
    csrf_key: [u8; 32],
}

/// What the state puts things into for tasks beside the requests.
struct Queues {
    outbox: Outbox,
    key_uses: mpsc::Receiver<Use>,
    decisions: Waiting,
}

fn assemble(
    config: Config,
    parts: Parts,
    public_url: Arc<str>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<(AppState, Queues)> {
    let Parts {
        db,
        stopping,
        mailer,
        sealer,
        keys,
        policy,
        source,
        catalog,
        csrf_key,
    } = parts;
    let (decisions, waiting_decisions) = DecisionLog::new(config.decision_log.mode);
    let bundle_key = BundleKey::new(&sealer.derive("opa bundles"))?;
    let (key_uses, waiting_uses) = usage::queue();
    let outbox = Outbox::new(db.clone(), sealer.clone(), mailer, Arc::clone(&clock));
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let argon2 = &config.password.argon2;
    let params = Argon2Params {
        memory_kib: argon2.memory_kib,
        time: argon2.time,
        parallelism: argon2.parallelism,
    };
    let hasher = PasswordHasher::start(params, cores, argon2.queue)?;
    let state = AppState {
        db,
        clock,
        public_url,
        policy,
        policy_source: source,
        bundle_key,
        decisions,
        catalog,
        keys,
        hasher,
        decoys: Decoys::new(&*sealer.derive("decoys")),
        login_slots: Semaphore::new(cores + argon2.queue),
        blocklist: Arc::new(config.password.blocklist.clone()),
        csrf_key,
        sealer,
        seen: Seen::default(),
        cache: Arc::default(),
        key_uses,
        mail_status: outbox.status(),
        mail: outbox.clone(),
        audit_checked: Mutex::new(Position::START),
        stopping,
        config,
    };
    let queues = Queues {
        outbox,
        key_uses: waiting_uses,
        decisions: waiting_decisions,
    };
    Ok((state, queues))
}

/// Builds a state for a command that acts and does not serve. It needs no secret but `SECRET_KEY`,
/// signs no tokens, asks no policy server, and leaves its mail to a running instance.
///
/// # Errors
///
/// What is missing, for the one who calls the program.
pub async fn for_command(
    config: Config,
    url: &DatabaseUrl,
    key: &SecretKey,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<AppState> {
    let stopping = Arc::default();
    let db = open_migrated(&config, url, &stopping).await?;
    let previous = config.secrets.previous.as_ref().map(SecretKey::expose);
    let sealer = Sealer::new(key.expose(), previous);
    anyhow::ensure!(
        SigningKeys::are_sealed_by(&db, &sealer).await?,
        "SECRET_KEY is not the one that this installation has"
    );
    let public_url: Arc<str> = config.public_url.as_str().trim_end_matches('/').into();
    let rules = token_rules(&config, &public_url);
    let bundle = Bundle::load(None)?;
    let parts = Parts {
        mailer: Mailer::unconfigured(&config.mail.from, &config.public_url)?,
        keys: SigningKeys::of_nobody(rules)?,
        policy: Arc::new(Embedded::new(&bundle)?),
        source: Source::new(None, bundle.clone(), None, clock.now()),
        catalog: bundle.catalog().clone(),
        csrf_key: *sealer.derive("csrf of a command"),
        db,
        stopping,
        sealer,
    };
    let (state, _) = assemble(config, parts, public_url, clock)?;
    Ok(state)
}

/// Where changes are heard of: not through a pooler in transaction mode, which drops LISTEN.
fn listener(config: &Config, url: &DatabaseUrl, db: &Db) -> Option<Single> {
    let direct = config.database.listen_url.as_ref();
    let direct = direct.or_else(|| (!url.is_pooled()).then_some(url));
    if direct.is_none() {
        tracing::warn!(
            "DATABASE_URL leads to a pooler in transaction mode and DATABASE_LISTEN_URL is not set: \
             changes are not heard of, so every request asks the database and nothing is answered from memory"
        );
    }
    direct.map(|url| Single::new(&config.database, url, db))
}

async fn open_migrated(
    config: &Config,
    url: &DatabaseUrl,
    stopping: &Arc<AtomicBool>,
) -> anyhow::Result<Db> {
    let db = pool::open(&config.database, url, stopping).await?;
    let pending = migration::pending(&db)
        .await
        .context("the schema cannot be read")?;
    anyhow::ensure!(
        pending.is_empty(),
        "{} migrations are pending: run `gatepost-migrate up` first, or set AUTO_MIGRATE=true",
        pending.len()
    );
    Ok(db)
}

fn token_rules(config: &Config, public_url: &str) -> TokenRules {
    TokenRules {
        issuer: public_url.to_owned(),
        audience: config.tokens.audience.clone(),
    }
}

async fn signing_keys(
    config: &Config,
    db: &Db,
    sealer: &Sealer,
    public_url: &str,
    clock: &dyn Clock,
) -> anyhow::Result<SigningKeys> {
    let rules = token_rules(config, public_url);
    let algorithm = config.tokens.algorithm.as_str().parse()?;
    SigningKeys::load_or_create(db, sealer, algorithm, rules, clock.now())
        .await
        .context("the signing keys cannot be used; has SECRET_KEY changed?")
}

/// What decides, and the engine in the program if that is it.
fn policy(config: &Config, bundle: &Bundle) -> anyhow::Result<Engines> {
    let Some(url) = &config.policy.opa_url else {
        let engine = Arc::new(Embedded::new(bundle)?);
        return Ok((Arc::clone(&engine) as Arc<dyn Policy>, Some(engine)));
    };
    let options = RemoteOptions {
        url: url.clone(),
        timeout: config.policy.timeout,
        token: config.policy.token.clone(),
    };
    Ok((Arc::new(Remote::new(options)?), None))
}

type Engines = (Arc<dyn Policy>, Option<Arc<Embedded>>);

fn mailer(config: &Config) -> anyhow::Result<Mailer> {
    let (from, url) = (&config.mail.from, &config.public_url);
    Ok(match (&config.mail.smtp, config.environment) {
        (Some(smtp), _) => Mailer::smtp(smtp, from, url)?,
        (None, Environment::Development) => Mailer::log(from, url)?,
        (None, Environment::Production) => Mailer::unconfigured(from, url)?,
    })
}
