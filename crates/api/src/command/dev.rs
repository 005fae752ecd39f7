//! `gatepost dev`: everything that is needed to try it, on this machine.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use secrecy::ExposeSecret;

use super::serve::{announce_admin, migrate_first};
use crate::{
    clock::SystemClock,
    config::{self, Config, Environment},
    database::{
        bundled::{API_ROLE, Cluster, Options},
        migrate::migrate,
        url::DatabaseUrl,
    },
    server::{
        run,
        start::{Secrets, Started, start},
    },
};

/// How `gatepost dev` runs.
pub struct Dev {
    /// Forget everything at the end.
    pub ephemeral: bool,
    /// Where data and secrets are kept.
    pub data: PathBuf,
}

/// The port that the private PostgreSQL tries first.
const PORT: u16 = 54_329;

/// Serves until told to stop, on a private PostgreSQL if `DATABASE_URL` is not set.
///
/// # Errors
///
/// What keeps it from serving, for the one who started it.
pub async fn dev(config: Config, dev: Dev) -> anyhow::Result<()> {
    anyhow::ensure!(
        config.environment == Environment::Development,
        "`gatepost dev` is for development; with ENVIRONMENT=production use `gatepost serve`"
    );
    std::fs::create_dir_all(&dev.data)
        .with_context(|| format!("{} cannot be made", dev.data.display()))?;
    let secrets = secrets(&config, &dev)?;
    if let Some(url) = config.database.url.clone() {
        migrate_first(&config, &url).await?;
        let started = start(config, &url, &secrets, Arc::new(SystemClock)).await?;
        let database = format!("{} on {}", url.database(), url.host());
        return go(started, &database, std::future::pending()).await;
    }
    let options = Options {
        ephemeral: dev.ephemeral,
        port: Some(PORT),
        ..Options::new(&dev.data)
    };
    let cluster = Cluster::start(options).await?;
    let database = format!(
        "a private PostgreSQL on 127.0.0.1:{}, data in {}{}",
        cluster.port(),
        cluster.home().display(),
        if dev.ephemeral {
            " (forgotten at the end)"
        } else {
            ""
        }
    );
    let result = Box::pin(on_cluster(config, &secrets, &cluster, &database)).await;
    let stopped = cluster.stop().await;
    result?;
    stopped?;
    Ok(())
}

async fn on_cluster(
    mut config: Config,
    secrets: &Secrets,
    cluster: &Cluster,
    database: &str,
) -> anyhow::Result<()> {
    let owner = DatabaseUrl::parse(cluster.owner_url().expose_secret())?;
    let api = DatabaseUrl::parse(cluster.api_url().expose_secret())?;
    migrate(&config.database, &owner, API_ROLE).await?;
    // For whoever asks the settings where the database is.
    config.database.url = Some(api.clone());
    let started = start(config, &api, secrets, Arc::new(SystemClock)).await?;
    let broken = async {
        let how = cluster.ended().await;
        anyhow::anyhow!("the private PostgreSQL ended by itself: {how}")
    };
    go(started, database, broken).await
}

async fn go(
    started: Started,
    database: &str,
    broken: impl Future<Output = anyhow::Error>,
) -> anyhow::Result<()> {
    if let Some(admin) = &started.break_glass {
        announce_admin(admin)?;
    }
    let state = &started.state;
    let http = &state.config.http;
    let text = format!(
        "\nGatepost is running.\n  \
           API        {url}\n  \
           health     {url}/api/health\n  \
           interface  {url}/api/openapi.json\n  \
           metrics    http://{host}:{metrics}/metrics\n  \
           database   {database}\n  \
           policy     {policy}\n\n\
         Try next, in another terminal:\n  \
           examples/quickstart.sh {url}\n\n\
         Ctrl-C stops all of it.\n",
        url = state.public_url,
        host = http.host,
        metrics = http.metrics_port,
        policy = match &state.config.policy.opa_url {
            Some(url) => format!("OPA server at {url}"),
            None => "embedded engine".to_owned(),
        },
    );
    run::run(started, move || println!("{text}"), broken).await
}

fn secrets(config: &Config, dev: &Dev) -> anyhow::Result<Secrets> {
    let folder = dev.data.join("secrets");
    let configured = &config.secrets;
    let (key, csrf) = match (&configured.secret_key, &configured.csrf) {
        (Some(key), Some(csrf)) => (key.clone(), csrf.clone()),
        (key, csrf) => {
            let made = config::secrets_for_development(&folder)
                .with_context(|| format!("no secrets can be kept in {}", folder.display()))?;
            (
                key.clone().unwrap_or(made.0),
                csrf.clone().unwrap_or(made.1),
            )
        }
    };
    Ok(Secrets {
        key,
        previous: configured.previous.clone(),
        csrf,
    })
}
