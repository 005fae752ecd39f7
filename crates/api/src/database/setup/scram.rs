//! What a server keeps of a password, made here so that no server and no log sees the password.

use std::num::NonZero;

use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use secrecy::{ExposeSecret, SecretString};

/// As many as PostgreSQL itself takes. The passwords are random, so more would gain nothing.
const ITERATIONS: u32 = 4096;
const SALT: usize = 16;

/// 256 random bits, in characters that need no quoting in SQL or in a URL.
pub(crate) fn random_password() -> SecretString {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).expect("the system's random generator does not fail");
    SecretString::from(URL_SAFE_NO_PAD.encode(bytes))
}

/// The verifier (RFC 5803, as PostgreSQL writes it) of a password of plain ASCII.
pub(crate) fn verifier(password: &SecretString) -> String {
    let mut salt = [0; SALT];
    rand::fill(&mut salt).expect("the system's random generator does not fail");
    with_salt(password, &salt)
}

fn with_salt(password: &SecretString, salt: &[u8]) -> String {
    let mut salted = [0; digest::SHA256_OUTPUT_LEN];
    let iterations = NonZero::new(ITERATIONS).unwrap_or(NonZero::<u32>::MIN);
    let password = password.expose_secret().as_bytes();
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        iterations,
        salt,
        password,
        &mut salted,
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client = hmac::sign(&key, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client.as_ref());
    let server = hmac::sign(&key, b"Server Key");
    format!(
        "SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored),
        STANDARD.encode(server)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_is_that_of_the_rfc() {
        // RFC 7677, section 3: user "user", password "pencil", 4096 iterations.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        assert_eq!(
            with_salt(&SecretString::from("pencil"), &salt),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
             wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }
}
