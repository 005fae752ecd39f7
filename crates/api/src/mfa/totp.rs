//! Codes of authenticator apps: TOTP (RFC 6238) with SHA-1, six digits and steps of thirty
//! seconds, which is what all apps know.
//!
//! The step before and the step after are taken too, so a code lives for ninety seconds: clocks
//! differ, and people type slowly. ASVS 5.0, 6.5.5 wants thirty; that each step counts once is what
//! keeps a code from being used by someone who looked on.

use anyhow::{Context, anyhow};
use aws_lc_rs::rand;
use entity::mfa_factor;
use qrcode::{EcLevel, QrCode, render::svg};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};
use totp_rs::{Builder, Totp};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::model::{Factor, MfaError, TotpSecret};
use crate::{crypto::seal::Sealer, state::AppState};

/// 160 bits (RFC 4226, section 4).
const SECRET_BYTES: usize = 20;
const SKEW_STEPS: u16 = 1;

/// Separates the secret of one user from that of another: a row that is copied does not open.
fn label(user_id: Uuid) -> String {
    format!("totp {user_id}")
}

/// A new secret: sealed for the database, and as the app gets it.
///
/// # Errors
///
/// [`MfaError::Unusable`] without random numbers, or if the address fits into no QR code.
pub fn generate(
    state: &AppState,
    user_id: Uuid,
    email: &str,
) -> Result<(Vec<u8>, TotpSecret), MfaError> {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    rand::fill(secret.as_mut())
        .map_err(|_| MfaError::Unusable(anyhow!("the system gave no random numbers")))?;
    let host = state.config.public_url.host_str().unwrap_or("Gatepost");
    let app = describe(&secret[..], host, email).map_err(MfaError::Unusable)?;
    let sealed = state.sealer.seal(&label(user_id), &secret[..]);
    Ok((sealed, app))
}

fn describe(secret: &[u8], issuer: &str, account: &str) -> anyhow::Result<TotpSecret> {
    // A colon would end the issuer: RFC 5321 lets one stand in quotes, and IPv6 is full of them.
    let totp = builder(secret)
        .with_issuer(Some(issuer.replace(':', ".")))
        .with_account_name(account.replace(':', "."))
        .build()
        .map_err(|error| anyhow!("{error:?}"))?;
    let uri = totp.to_url().map_err(|error| anyhow!("{error:?}"))?;
    // The lowest level of error correction: the code is shown on a screen, not printed on a box.
    let code = QrCode::with_error_correction_level(&uri, EcLevel::L).context("a QR code")?;
    let qr_svg = code
        .render::<svg::Color<'_>>()
        .min_dimensions(240, 240)
        .build();
    Ok(TotpSecret {
        status: "totp_begun",
        secret: totp.secret().to_base32(),
        otpauth_uri: uri,
        qr_svg,
    })
}

/// The step that `code` belongs to, if it is one of the three of now.
///
/// # Errors
///
/// [`MfaError::Unusable`] if the stored secret does not open.
pub fn step(
    state: &AppState,
    user_id: Uuid,
    sealed: Option<&[u8]>,
    code: &str,
) -> Result<Option<i64>, MfaError> {
    let sealed = sealed.ok_or_else(|| MfaError::Unusable(anyhow!("the factor has no secret")))?;
    let secret = state
        .sealer
        .open(&label(user_id), sealed)
        .map_err(|error| MfaError::Unusable(error.into()))?;
    let totp = totp(&secret).map_err(MfaError::Unusable)?;
    let now = u64::try_from(state.clock.now().timestamp()).unwrap_or(0);
    Ok(totp
        .check(code, now)
        .and_then(|step| i64::try_from(step).ok()))
}

/// Secrets that one statement brings under the current `SECRET_KEY`.
const BATCH: u64 = 500;

/// Seals the secrets anew that stand under a former `SECRET_KEY`, so that they still open once that
/// is forgotten. Returns how many.
///
/// # Errors
///
/// The database's.
pub async fn reseal(db: &impl ConnectionTrait, sealer: &Sealer) -> Result<u64, DbErr> {
    let header = sealer.header().to_vec();
    let mut done = 0;
    let mut after = Uuid::nil();
    loop {
        let rows = mfa_factor::Entity::find()
            .filter(mfa_factor::Column::Kind.eq(Factor::Totp.as_str()))
            .filter(mfa_factor::Column::Id.gt(after))
            .filter(Expr::cust_with_values(
                "position($1 in secret) <> 1",
                [header.clone()],
            ))
            .order_by_asc(mfa_factor::Column::Id)
            .limit(BATCH)
            .all(db)
            .await?;
        let Some(last) = rows.last() else {
            return Ok(done);
        };
        after = last.id;
        for row in rows {
            done += u64::from(reseal_one(db, sealer, row).await?);
        }
    }
}

/// Whether it was sealed anew. One that does not open is left for the key that it needs.
async fn reseal_one(
    db: &impl ConnectionTrait,
    sealer: &Sealer,
    row: mfa_factor::Model,
) -> Result<bool, DbErr> {
    let label = label(row.user_id);
    let former = row.secret.unwrap_or_default();
    let Ok(secret) = sealer.open(&label, &former) else {
        return Ok(false);
    };
    let updated = mfa_factor::Entity::update_many()
        .col_expr(
            mfa_factor::Column::Secret,
            Expr::value(sealer.seal(&label, &secret)),
        )
        .filter(mfa_factor::Column::Id.eq(row.id))
        // It may have been begun anew since.
        .filter(mfa_factor::Column::Secret.eq(former))
        .exec(db)
        .await?;
    Ok(updated.rows_affected == 1)
}

fn builder(secret: &[u8]) -> Builder {
    Builder::new()
        .with_secret(secret.to_vec())
        .with_skew(SKEW_STEPS)
}

fn totp(secret: &[u8]) -> anyhow::Result<Totp> {
    builder(secret)
        .build()
        .map_err(|error| anyhow!("{error:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238, appendix B.
    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn the_codes_are_those_of_the_rfc() {
        let totp = totp(SECRET).unwrap();
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(totp.check(code, time), Some(time / 30), "{time}");
        }
    }

    #[test]
    fn a_code_is_good_one_step_before_and_after_and_no_more() {
        let totp = totp(SECRET).unwrap();
        let code = "005924";
        let step = 1_234_567_890 / 30;
        for (off, good) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let time = (step + off) * 30;
            let found = totp.check(code, u64::try_from(time).unwrap());
            assert_eq!(found.is_some(), good, "{off} steps off");
        }
        for wrong in ["", "5924", "+05924", "0059240", "００５９２４", "-5924"] {
            assert_eq!(totp.check(wrong, 1_234_567_890), None, "{wrong}");
        }
    }

    #[test]
    fn what_the_app_gets_names_the_service_and_the_person() {
        let app = describe(SECRET, "[::1]", "\"a:b\"@example.com").unwrap();
        assert_eq!(app.secret, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(
            app.otpauth_uri.starts_with("otpauth://totp/"),
            "{}",
            app.otpauth_uri
        );
        assert!(app.otpauth_uri.contains("issuer="));
        assert!(app.qr_svg.contains("<svg") && !app.qr_svg.contains("GEZDG"));
        let long = format!("{}@example.com", "a".repeat(240));
        assert!(describe(SECRET, &"x".repeat(253), &long).is_ok());
    }
}
