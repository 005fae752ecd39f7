//! Whether a request may pass, and as whom.

use std::fmt::Write as _;

use super::model::Demand;
use crate::{
    access::{
        actor::Actor,
        grants,
        question::{self, About},
        registered,
        resource::{self, Located},
    },
    http::origin::Origin,
    policy::Place,
    problem::{Code, Problem},
    state::AppState,
};

/// Who sent a request that may pass, as applications are told.
#[derive(Debug)]
pub struct Identity {
    /// The id of a user or a service account.
    pub user: String,
    /// The address, if it was proven to be theirs.
    pub email: Option<String>,
    /// Keys of the roles held at the system; with an API key those that it leaves whole.
    pub roles: Vec<String>,
}

/// Who `actor` is, if they may be told to an application and are permitted what it demands.
///
/// # Errors
///
/// `403` if not, `503` if the policy or the database cannot say.
pub async fn pass(
    state: &AppState,
    actor: &Actor,
    origin: &Origin,
    demand: Option<Demand>,
) -> Result<Identity, Problem> {
    let is_permitted = match demand {
        // An API key that may not even read who its owner is speaks for nobody elsewhere.
        None => {
            let own = Located::principal(actor.principal());
            question::allows(state, actor, origin, "self:read", &own).await?
        }
        Some(demand) => is_permitted(state, actor, origin, demand).await?,
    };
    if !is_permitted {
        return Err(Problem::plain(Code::Forbidden));
    }
    Ok(Identity {
        user: actor.principal().id.to_string(),
        email: actor.subject.email.as_deref().map(header_safe),
        roles: grants::system_roles(state, actor).await?,
    })
}

async fn is_permitted(
    state: &AppState,
    actor: &Actor,
    origin: &Origin,
    demand: Demand,
) -> Result<bool, Problem> {
    let Demand {
        permission,
        base,
        below,
    } = demand;
    let known = match &below {
        Some(Place { r#type, id }) => {
            registered::find(state, r#type, id.as_deref().unwrap_or_default()).await?
        }
        None => None,
    };
    let Some(base) = resource::locate(state, base).await? else {
        return Ok(false);
    };
    let about = match (&known, below) {
        (Some(known), _) => About::Registered(known),
        (None, Some(place)) => About::Foreign(&base, place),
        (None, None) => About::Ours(&base),
    };
    question::allows_on(state, actor, origin, &permission, &about).await
}

/// Text that can stand in a header: what is not visible ASCII, and `%`, is percent-encoded UTF-8.
fn header_safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            safe.push(char::from(byte));
        } else {
            write!(safe, "%{byte:02X}").expect("a String takes everything");
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_can_stand_in_a_header() {
        assert_eq!(header_safe("ada+x@example.com"), "ada+x@example.com");
        assert_eq!(header_safe("ü%@example.com"), "%C3%BC%25@example.com");
        assert_eq!(header_safe("a\r\nb c"), "a%0D%0Ab%20c");
    }
}
