//! Whom credentials are bound to: the host of `PUBLIC_URL`, and never what a request says.

use url::Url;
use webauthn_rs::{Webauthn, WebauthnBuilder};

use super::model::WebauthnFault;
use crate::state::AppState;

/// What people see when their device asks them.
const NAME: &str = "Gatepost";

/// The relying party of this installation.
///
/// # Errors
///
/// [`WebauthnFault::Unavailable`] if `PUBLIC_URL` names its host by an address: browsers bind
/// credentials to names only (WebAuthn, section 5.1.2).
pub fn relying_party(state: &AppState) -> Result<Webauthn, WebauthnFault> {
    let origin = Url::parse(&state.public_url).map_err(|_| WebauthnFault::Unavailable)?;
    let host = origin.domain().ok_or(WebauthnFault::Unavailable)?;
    WebauthnBuilder::new(host, &origin)
        .and_then(|builder| builder.rp_name(NAME).build())
        .map_err(|_| WebauthnFault::Unavailable)
}
