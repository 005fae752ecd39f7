//! Opaque tokens: 256 random bits behind a readable prefix, kept only as SHA-256.
//!
//! A plain hash is enough because the text cannot be guessed. It covers the prefix, so the hash of
//! a token of one kind is never the hash of a token of another.

use std::fmt;

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac, rand,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// Random bytes in a token (OWASP ASVS 5.0, 7.2.3 asks for 16 at least).
const SECRET_BYTES: usize = 32;
/// Characters of [`SECRET_BYTES`] in base64url without padding.
const SECRET_CHARS: usize = 43;

/// What a token is good for: exactly one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Gets the next pair of tokens of a session, once.
    Refresh,
    /// The console's session cookie.
    Session,
    /// Sets a new password when a login demands it, and nothing else.
    PasswordChange,
    /// Accepts one invitation.
    Invitation,
    /// Stands for a login whose password was right, until the second factor is.
    Mfa,
    /// Makes a trusted device known at login, in place of a second factor.
    Device,
    /// Lets a program call, for as long as its owner says.
    ApiKey,
    /// Proves an address by having reached it.
    EmailVerification,
    /// Proves the address that takes the place of another.
    EmailChange,
    /// Stops or undoes a change of address.
    EmailChangeCancel,
    /// Sets a new password for someone who forgot theirs.
    PasswordReset,
    /// Closes everything: "this was not me".
    Lockdown,
}

impl TokenKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Refresh,
        Self::Session,
        Self::PasswordChange,
        Self::Invitation,
        Self::Mfa,
        Self::Device,
        Self::ApiKey,
        Self::EmailVerification,
        Self::EmailChange,
        Self::EmailChangeCancel,
        Self::PasswordReset,
        Self::Lockdown,
    ];

    /// What a token of this kind starts with, so that people and secret scanners recognise it.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Refresh => "gpr_",
            Self::Session => "gps_",
            Self::PasswordChange => "gpc_",
            Self::Invitation => "gpi_",
            Self::Mfa => "gpm_",
            Self::Device => "gpd_",
            Self::ApiKey => "gp_",
            Self::EmailVerification => "gpv_",
            Self::EmailChange => "gpe_",
            Self::EmailChangeCancel => "gpx_",
            Self::PasswordReset => "gpw_",
            Self::Lockdown => "gpl_",
        }
    }
}

/// A token in plain text. Only its [`hash`](Self::hash) may be stored.
#[derive(Clone)]
pub struct Token {
    kind: TokenKind,
    text: Zeroizing<String>,
}

impl Token {
    /// Makes a new token from the system's random numbers.
    ///
    /// # Panics
    ///
    /// If the system has no random numbers; nothing secure can be done then.
    #[must_use]
    pub fn generate(kind: TokenKind) -> Self {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        rand::fill(secret.as_mut()).expect("the system has random numbers");
        Self::from_secret(kind, &secret)
    }

    /// Reads a token that a client sent.
    ///
    /// `None` if the text is not exactly what [`generate`](Self::generate) writes for this `kind`:
    /// another prefix, another length, other characters, or a second spelling of the same bits.
    #[must_use]
    pub fn parse(kind: TokenKind, text: &str) -> Option<Self> {
        let secret = text.strip_prefix(kind.prefix())?;
        if secret.len() != SECRET_CHARS {
            return None;
        }
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        URL_SAFE_NO_PAD
            .decode_slice(secret, bytes.as_mut())
            .ok()
            .filter(|length| *length == SECRET_BYTES)?;
        Some(Self {
            kind,
            text: Zeroizing::new(text.to_owned()),
        })
    }

    /// The token that follows `predecessor`, the same one every time for the same `nonce`.
    ///
    /// A client that lost the answer to a refresh can get it once more although only hashes are
    /// stored. It is HMAC-SHA-256 under `key`, so whoever holds the predecessor and has read the
    /// nonce in the database still cannot compute it.
    #[must_use]
    pub fn successor(predecessor: &Self, nonce: &[u8], key: &[u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let mut mac = hmac::Context::with_key(&key);
        mac.update(b"gatepost token successor v1\0");
        // Always of one length, so that no nonce can be read as a part of it.
        mac.update(predecessor.text.as_bytes());
        mac.update(nonce);
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        secret.copy_from_slice(mac.sign().as_ref());
        Self::from_secret(predecessor.kind, &secret)
    }

    /// What the token is good for.
    #[must_use]
    pub const fn kind(&self) -> TokenKind {
        self.kind
    }

    /// SHA-256 of the whole text: what is stored, and what a token is looked up by.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, self.text.as_bytes()).as_ref());
        hash
    }

    /// The text itself, for the answer to the one who may have it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    fn from_secret(kind: TokenKind, secret: &[u8; SECRET_BYTES]) -> Self {
        let prefix = kind.prefix();
        let mut text = Zeroizing::new(String::with_capacity(prefix.len() + SECRET_CHARS));
        text.push_str(prefix);
        URL_SAFE_NO_PAD.encode_string(secret, &mut text);
        Self { kind, text }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("kind", &self.kind)
            .field("text", &"[secret]")
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn any_kind() -> impl Strategy<Value = TokenKind> {
        prop::sample::select(TokenKind::ALL.to_vec())
    }

    #[test]
    fn a_generated_token_is_read_back_with_the_same_hash() {
        for kind in TokenKind::ALL {
            let token = Token::generate(kind);
            let read = Token::parse(kind, token.expose()).expect("our own token");
            assert_eq!(read.hash(), token.hash());
            assert_eq!(read.kind(), kind);
        }
    }

    #[test]
    fn no_token_comes_twice() {
        let texts: HashSet<_> = (0..1000)
            .map(|_| Token::generate(TokenKind::Refresh).expose().to_owned())
            .collect();
        assert_eq!(texts.len(), 1000);
    }

    #[test]
    fn a_token_of_one_kind_is_not_read_as_another() {
        for kind in TokenKind::ALL {
            let token = Token::generate(kind);
            for other in TokenKind::ALL {
                let read = Token::parse(other, token.expose());
                assert_eq!(read.is_some(), kind == other, "{kind:?} as {other:?}");
            }
        }
    }

    #[test]
    fn the_same_secret_in_two_kinds_has_two_hashes() {
        let refresh = Token::from_secret(TokenKind::Refresh, &[7; 32]);
        let session = Token::from_secret(TokenKind::Session, &[7; 32]);
        assert_ne!(refresh.hash(), session.hash());
    }

    #[test]
    fn a_second_spelling_of_the_same_bits_is_refused() {
        // 43 characters hold 258 bits: the last two must be zero.
        let token = Token::from_secret(TokenKind::Refresh, &[0; 32]);
        assert!(token.expose().ends_with('A'));
        let spelled = format!("{}B", &token.expose()[..token.expose().len() - 1]);
        assert!(Token::parse(TokenKind::Refresh, &spelled).is_none());
    }

    #[test]
    fn the_hash_is_sha_256_of_the_text() {
        let token = Token::from_secret(TokenKind::Refresh, &[0; 32]);
        assert_eq!(token.expose(), format!("gpr_{}", "A".repeat(43)));
        assert_eq!(
            URL_SAFE_NO_PAD.encode(token.hash()),
            URL_SAFE_NO_PAD.encode(digest(&SHA256, token.expose().as_bytes()))
        );
    }

    #[test]
    fn debug_shows_no_token() {
        let token = Token::generate(TokenKind::Session);
        assert!(!format!("{token:?}").contains(&token.expose()[4..]));
    }

    #[test]
    fn the_successor_depends_on_predecessor_nonce_and_key() {
        let first = Token::generate(TokenKind::Refresh);
        let successor = |token: &Token, nonce: &[u8], key| Token::successor(token, nonce, key);
        let next = successor(&first, b"nonce", &[1; 32]);
        assert_eq!(
            next.expose(),
            successor(&first, b"nonce", &[1; 32]).expose()
        );
        let others = [
            successor(&Token::generate(TokenKind::Refresh), b"nonce", &[1; 32]),
            successor(&first, b"other", &[1; 32]),
            successor(&first, b"nonce", &[2; 32]),
            successor(&next, b"nonce", &[1; 32]),
        ];
        for other in others {
            assert_ne!(next.expose(), other.expose());
        }
        assert!(Token::parse(TokenKind::Refresh, next.expose()).is_some());
    }

    proptest! {
        #[test]
        fn no_text_is_read_that_would_not_be_written(kind in any_kind(), text in any::<String>()) {
            if let Some(token) = Token::parse(kind, &text) {
                prop_assert_eq!(token.expose(), text);
            }
        }

        #[test]
        fn near_misses_are_refused(
            kind in any_kind(),
            secret in any::<[u8; 32]>(),
            position in 0..46_usize,
            wrong in "[^A-Za-z0-9_-]",
        ) {
            let text = Token::from_secret(kind, &secret).expose().to_owned();
            prop_assert!(Token::parse(kind, &text).is_some());
            prop_assert!(Token::parse(kind, &text[..text.len() - 1]).is_none());
            for longer in [format!("{text}A"), format!(" {text}"), format!("{text}=")] {
                prop_assert!(Token::parse(kind, &longer).is_none());
            }
            let mut changed = text.clone();
            changed.replace_range(position..=position, &wrong);
            prop_assert!(Token::parse(kind, &changed).is_none());
        }

        #[test]
        fn every_secret_makes_a_readable_token_of_its_own(
            kind in any_kind(),
            a in any::<[u8; 32]>(),
            b in any::<[u8; 32]>(),
        ) {
            let (first, second) = (Token::from_secret(kind, &a), Token::from_secret(kind, &b));
            prop_assert!(Token::parse(kind, first.expose()).is_some());
            prop_assert_eq!(a == b, first.hash() == second.hash());
        }
    }
}
