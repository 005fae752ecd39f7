//! `gatepost keys`: the keys that sign access tokens.

use anyhow::Context;

use crate::{
    audit::{self, Doer, Entry, Target},
    clock::Clock,
    config::{Config, SecretKey},
    crypto::{
        keys::{SigningKeys, TokenRules},
        seal::Sealer,
    },
    database::pool,
    http::origin::Origin,
};

/// Makes the next key sign from now on. Tokens of the old one stay good until they expire.
/// Running instances follow at once.
///
/// # Errors
///
/// The settings' or the database's.
pub async fn rotate(config: Config, clock: &dyn Clock) -> anyhow::Result<()> {
    let url = config
        .database
        .url
        .clone()
        .context("DATABASE_URL is not set")?;
    let key = config
        .secrets
        .secret_key
        .as_ref()
        .context("SECRET_KEY is not set")?;
    let previous = config.secrets.previous.as_ref().map(SecretKey::expose);
    let sealer = Sealer::new(key.expose(), previous);
    let db = pool::open(&config.database, &url).await?;
    let rules = TokenRules {
        issuer: config.public_url.as_str().trim_end_matches('/').to_owned(),
        audience: config.tokens.audience.clone(),
    };
    let algorithm = config.tokens.algorithm.as_str().parse()?;
    let now = clock.now();
    let keys = SigningKeys::load_or_create(&db, &sealer, algorithm, rules, now).await?;
    let before = keys.active_kid();
    keys.rotate(&db, &sealer, now, config.sessions.access_ttl)
        .await?;
    let after = keys.active_kid();
    let entry = Entry {
        doer: Doer::Program,
        action: "keys.rotated",
        target: Target::global("signing_key", &after),
        details: serde_json::json!({ "before": before }),
    };
    audit::record(&db, clock, &Origin::program("keys rotate"), entry).await?;
    println!("{after} signs from now on; {before} is accepted until its last token has expired.");
    db.close().await?;
    Ok(())
}
