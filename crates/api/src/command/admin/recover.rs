//! `gatepost admin recover`.

use chrono::TimeDelta;

use super::output::Out;
use crate::{
    admin::{
        model::AdminError,
        people,
        recovery::{self, Whom},
    },
    command::shell::Shell,
    http::text::Email,
    state::AppState,
};

pub(super) async fn recover(
    state: &AppState,
    user: Option<String>,
    email: Option<String>,
    lasting: TimeDelta,
    out: Out,
) -> anyhow::Result<()> {
    let now = state.clock.now();
    let whom = match (user, email) {
        (Some(name), _) => Whom::User(Box::new(people::find(state, &name).await?)),
        (None, email) => {
            let email = email
                .unwrap_or_else(|| format!("recover-{}@localhost", now.format("%Y%m%d-%H%M%S")));
            Whom::New(Email::try_from(email).map_err(anyhow::Error::msg)?)
        }
    };
    let recovered = recovery::recover(state, &Shell::of("admin recover"), whom, now + lasting)
        .await
        .map_err(|error| match error.downcast::<AdminError>() {
            Ok(AdminError::EmailTaken) => anyhow::anyhow!(
                "there is a user with this address; to let them in, say --user instead of --email"
            ),
            Ok(error) => error.into(),
            Err(error) => error,
        })?;
    out.recovered(&recovered)
}
