//! `gatepost keys`: the keys that sign access tokens.

use anyhow::Context;

use crate::{
    clock::Clock,
    config::{Config, SecretKey},
    crypto::{
        keys::{SigningKeys, TokenRules},
        seal::Sealer,
    },
    database::pool,
    http::origin::Origin,
    keys::service::{Signing, rotate_from_shell},
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
    let db = pool::open(&config.database, &url, &std::sync::Arc::default()).await?;
    let rules = TokenRules {
        issuer: config.public_url.as_str().trim_end_matches('/').to_owned(),
        audience: config.tokens.audience.clone(),
    };
    let algorithm = config.tokens.algorithm.as_str().parse()?;
    let now = clock.now();
    let keys = SigningKeys::load_or_create(&db, &sealer, algorithm, rules, now).await?;
    let signing = Signing {
        db: &db,
        sealer: &sealer,
        keys: &keys,
        clock,
        access_ttl: config.sessions.access_ttl,
    };
    let rotation = rotate_from_shell(&signing, &Origin::program("keys rotate")).await?;
    println!(
        "{} signs from now on; {} is accepted until its last token has expired.",
        rotation.active,
        rotation.retired.as_deref().unwrap_or("no other key"),
    );
    db.close().await;
    Ok(())
}
