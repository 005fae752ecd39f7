//! Hashes that other systems made: which there are, and which are refused by name.
//!
//! [`Format::identify`] is the registry: it asks each module whether a text is of its form.
//! What is taken is checked against bounds, so that no hash that someone imports can take the
//! machine's memory or its time; what is not taken is named, with what to do about it.
//!
//! Other systems hash what was typed and do not normalize it, and so do we for their hashes.

mod argon2;
mod bcrypt;
mod firebase;
mod keycloak;
mod pbkdf2;
mod refused;
mod scrypt;
mod sha_crypt;
mod text;

pub use argon2::{Argon2Hash, MAX_MEMORY_KIB, MAX_TIME};

use self::{
    bcrypt::Bcrypt, firebase::Firebase, pbkdf2::Pbkdf2, scrypt::Scrypt, sha_crypt::ShaCrypt,
};

/// The longest text that [`Format::to_text`] makes: what `users.password_hash` has room for.
pub const MAX_TEXT: usize = 255;

/// A stored hash that we are willing to compute, whoever made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Argon2i, Argon2d and Argon2id (RFC 9106); our own hashes, too.
    Argon2(Argon2Hash),
    /// bcrypt, also in Django's two forms.
    Bcrypt(Bcrypt),
    /// Firebase's scrypt, with the project's parameters.
    Firebase(Firebase),
    /// PBKDF2 with HMAC of SHA-1, SHA-256 or SHA-512.
    Pbkdf2(Pbkdf2),
    /// scrypt.
    Scrypt(Scrypt),
    /// SHA-crypt with SHA-256 or SHA-512.
    ShaCrypt(ShaCrypt),
}

/// Why a text is not taken for a hash. Says nothing of the hash itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatFault {
    /// A form that we know and do not verify, or none that we know.
    #[error("{name} is not supported: {why}")]
    Unsupported {
        /// What it is called.
        name: &'static str,
        /// Why, and what to do.
        why: &'static str,
    },
    /// It begins like a hash of this form and goes on otherwise.
    #[error("this is not a whole {name} hash: {why}")]
    Malformed {
        /// The form that it begins like.
        name: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Computing it would take too much memory or time.
    #[error(
        "this {name} hash takes too much memory or time ({cost}; at most {limit}): leave it out, \
         and the user chooses a new password"
    )]
    TooCostly {
        /// The form.
        name: &'static str,
        /// What it asks for.
        cost: String,
        /// What there is.
        limit: &'static str,
    },
}

impl FormatFault {
    /// A name that reports can be searched for.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unsupported { .. } => "hash_unsupported",
            Self::Malformed { .. } => "hash_malformed",
            Self::TooCostly { .. } => "hash_too_costly",
        }
    }
}

/// What a module says about a text: nothing if it is not of its form.
type Reading<T> = Option<Result<T, FormatFault>>;

impl Format {
    /// Recognizes a stored text and checks it against the bounds.
    ///
    /// # Errors
    ///
    /// [`FormatFault`], which names the form.
    pub fn identify(text: &str) -> Result<Self, FormatFault> {
        // Django and passlib write the name of the algorithm before a hash of another system.
        let bare = text.strip_prefix("argon2$").map(|rest| format!("${rest}"));
        let text = bare.as_deref().unwrap_or(text);
        None.or_else(|| Argon2Hash::read(text).map(|read| read.map(Self::Argon2)))
            .or_else(|| Bcrypt::read(text).map(|read| read.map(Self::Bcrypt)))
            .or_else(|| Firebase::read(text).map(|read| read.map(Self::Firebase)))
            .or_else(|| Pbkdf2::read(text).map(|read| read.map(Self::Pbkdf2)))
            .or_else(|| Scrypt::read(text).map(|read| read.map(Self::Scrypt)))
            .or_else(|| ShaCrypt::read(text).map(|read| read.map(Self::ShaCrypt)))
            .unwrap_or_else(|| Err(refused::by_name(text)))
    }

    /// Reads a credential as Keycloak exports it.
    ///
    /// # Errors
    ///
    /// [`FormatFault`], which names the algorithm.
    pub fn of_keycloak(credential: &serde_json::Value) -> Result<Self, FormatFault> {
        keycloak::read(credential)
    }

    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Argon2(hash) => hash.name(),
            Self::Bcrypt(_) => bcrypt::NAME,
            Self::Firebase(_) => firebase::NAME,
            Self::Pbkdf2(hash) => hash.name(),
            Self::Scrypt(_) => scrypt::NAME,
            Self::ShaCrypt(hash) => hash.name(),
        }
    }

    /// The text to keep: one form for each algorithm, with every parameter written out, at most
    /// [`MAX_TEXT`] bytes.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Argon2(hash) => hash.to_text(),
            Self::Bcrypt(hash) => hash.to_text(),
            Self::Firebase(hash) => hash.to_text(),
            Self::Pbkdf2(hash) => hash.to_text(),
            Self::Scrypt(hash) => hash.to_text(),
            Self::ShaCrypt(hash) => hash.to_text(),
        }
    }

    /// Whether `typed` is the password, in the time that the hash takes. `None` for Argon2, which
    /// is computed in the memory of the hashing threads.
    pub(super) fn matches(&self, typed: &[u8]) -> Option<bool> {
        Some(match self {
            Self::Argon2(_) => return None,
            Self::Bcrypt(hash) => hash.matches(typed),
            Self::Firebase(hash) => hash.matches(typed),
            Self::Pbkdf2(hash) => hash.matches(typed),
            Self::Scrypt(hash) => hash.matches(typed),
            Self::ShaCrypt(hash) => hash.matches(typed),
        })
    }
}

#[cfg(test)]
mod tests;
