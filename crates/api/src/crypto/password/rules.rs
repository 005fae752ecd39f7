//! What may be a password.

use std::{borrow::Cow, collections::HashSet, fmt};

use secrecy::{ExposeSecret, SecretString};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;
use zxcvbn::{Score, zxcvbn};

/// Longest password that is taken, in code points after normalization.
pub const MAX_CODE_POINTS: usize = 256;
/// Longest password that is taken, in bytes of UTF-8, before and after normalization.
pub const MAX_BYTES: usize = 1024;

/// Guesses are estimated from this many characters first, which costs about a millisecond ...
const FIRST_LOOK: usize = 32;
/// ... and from this many when those are weak: the estimate's cost grows faster than its length.
const SECOND_LOOK: usize = 100;
/// Shorter context words stand in too many good passwords.
const CONTEXT_WORD_MIN: usize = 4;
/// So many letters and digits besides a context word make a password of their own.
const CONTEXT_REST_MIN: usize = 8;

/// A password in NFKC, as it is hashed (NIST SP 800-63B-4, 3.1.1.2), and as it was typed, for
/// hashes of systems that do not normalize.
#[derive(Clone)]
pub struct Password {
    normal: SecretString,
    /// Only if it differs.
    typed: Option<SecretString>,
}

impl Password {
    /// Takes what someone typed, at login or when they choose it.
    ///
    /// # Errors
    ///
    /// [`PasswordFault::TooShort`] for an empty one; [`PasswordFault::TooLong`] over
    /// [`MAX_CODE_POINTS`] or [`MAX_BYTES`].
    pub fn parse(text: &str) -> Result<Self, PasswordFault> {
        // First the bytes, so that normalizing has a bound as well.
        if text.len() > MAX_BYTES {
            return Err(PasswordFault::TooLong);
        }
        // Room for every expansion, so that growing leaves no copy behind.
        let mut normal = Zeroizing::new(String::with_capacity(text.len() * 18));
        normal.extend(text.nfkc());
        if normal.is_empty() {
            return Err(PasswordFault::TooShort { min: 1 });
        }
        if normal.len() > MAX_BYTES || normal.chars().count() > MAX_CODE_POINTS {
            return Err(PasswordFault::TooLong);
        }
        Ok(Self {
            normal: SecretString::from(normal.as_str()),
            typed: (normal.as_str() != text).then(|| SecretString::from(text)),
        })
    }

    /// The normalized text.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.normal.expose_secret()
    }

    /// What was typed.
    #[must_use]
    pub fn expose_typed(&self) -> &str {
        self.typed.as_ref().unwrap_or(&self.normal).expose_secret()
    }

    /// The normalized text, and what was typed if that differs.
    pub(super) fn forms(&self) -> impl Iterator<Item = &str> {
        [Some(&self.normal), self.typed.as_ref()]
            .into_iter()
            .flatten()
            .map(ExposeSecret::expose_secret)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password([secret])")
    }
}

/// Why a text may not become a password; tells its owner what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// Fewer code points than the operator demands.
    #[error("Use at least {min} characters; a few unrelated words are easy to remember.")]
    TooShort {
        /// The fewest code points that are taken.
        min: usize,
    },
    /// More than can be taken.
    #[error("Use at most {MAX_CODE_POINTS} characters.")]
    TooLong,
    /// On the operator's list of refused passwords.
    #[error("This password is on a list of known passwords. Choose another one.")]
    Blocklisted,
    /// Made of words, patterns or dates that are tried first.
    #[error(
        "This password is easy to guess. Use a few unrelated words, or let a password manager \
         make one."
    )]
    TooGuessable,
    /// Little more than the person's name, their address, or ours.
    #[error("Do not build the password on your name, your e-mail address or this service's name.")]
    ContainsContext,
}

impl PasswordFault {
    /// A name that clients can rely on.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooShort { .. } => "password_too_short",
            Self::TooLong => "password_too_long",
            Self::Blocklisted => "password_blocklisted",
            Self::TooGuessable => "password_too_guessable",
            Self::ContainsContext => "password_contains_context",
        }
    }
}

/// The rules for a password that someone chooses. There are none about kinds of characters and
/// none about age (NIST SP 800-63B-4, 3.1.1.2).
#[derive(Clone, Copy, Debug)]
pub struct NewPassword;

impl NewPassword {
    /// Checks `text` against every rule. Takes up to some milliseconds for a long, weak one.
    ///
    /// `min_length` counts code points. `blocklist` holds whole passwords as [`fold`] writes them.
    /// `context` are words that stand near the person: e-mail address and its local part, user
    /// name, the service's name.
    ///
    /// # Errors
    ///
    /// The first [`PasswordFault`] that applies.
    pub fn check(
        text: &str,
        min_length: usize,
        blocklist: &HashSet<String>,
        context: &[&str],
    ) -> Result<Password, PasswordFault> {
        let password = Password::parse(text).map_err(|fault| match fault {
            PasswordFault::TooShort { .. } => PasswordFault::TooShort { min: min_length },
            other => other,
        })?;
        if password.expose().chars().count() < min_length {
            return Err(PasswordFault::TooShort { min: min_length });
        }
        let folded = Zeroizing::new(fold(password.expose()));
        if blocklist.contains(folded.as_str()) {
            return Err(PasswordFault::Blocklisted);
        }
        if context.iter().any(|word| is_built_on(&folded, word)) {
            return Err(PasswordFault::ContainsContext);
        }
        if is_guessable(password.expose(), context) {
            return Err(PasswordFault::TooGuessable);
        }
        Ok(password)
    }
}

/// NFKC in lower case: how blocklists are kept and compared.
#[must_use]
pub fn fold(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).collect()
}

fn is_built_on(folded: &str, word: &str) -> bool {
    let word = fold(word);
    if word.chars().count() < CONTEXT_WORD_MIN || !folded.contains(&word) {
        return false;
    }
    let rest = Zeroizing::new(folded.replace(&word, ""));
    rest.chars().filter(|char| char.is_alphanumeric()).count() < CONTEXT_REST_MIN
}

/// Whether fewer than 10^8 guesses are likely to find it.
///
/// That refuses the 30,000 most used passwords with their usual decorations, sequences, keyboard
/// walks, repeats and dates, and leaves two unrelated words alone. What follows the characters
/// looked at only makes a password better, so a good beginning is enough.
fn is_guessable(password: &str, context: &[&str]) -> bool {
    [FIRST_LOOK, SECOND_LOOK].into_iter().all(|length| {
        let look = match password.char_indices().nth(length) {
            Some((end, _)) => Cow::Borrowed(&password[..end]),
            None => Cow::Borrowed(password),
        };
        zxcvbn(&look, context).score() < Score::Three
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONTEXT: [&str; 4] = [
        "alice.liddell@example.org",
        "alice.liddell",
        "alice",
        "Gatepost",
    ];

    fn check(text: &str) -> Result<Password, PasswordFault> {
        let blocklist = HashSet::from([fold("Correct Horse Battery")]);
        NewPassword::check(text, 12, &blocklist, &CONTEXT)
    }

    fn fault(text: &str) -> Option<PasswordFault> {
        check(text).err()
    }

    #[test]
    fn what_people_can_remember_and_machines_make_is_taken() {
        for text in [
            "mein hund heisst rex",
            "blue-tiger-42",
            "grüne Katze 17",
            "purple-monkey",
            "j7Gk2pQ9xWm4",
            "X3a5IDnOdcdbWB2",
            "correct horse battery staple",
            "пес спит на диване",
            "犬はソファで眠っている。とても静か",
            "alice went to the river bank",
            "        spaces are fine        ",
        ] {
            assert_eq!(fault(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_tried_first_is_refused_however_long() {
        for text in [
            "password1234",
            "Password123!",
            "P@ssw0rd2024!",
            "passwordpassword",
            "123456789012",
            "1234567890123",
            "qwertyuiop123",
            "qwertyuiop[]",
            "1q2w3e4r5t6y",
            "qazwsxedcrfv",
            "zaq12wsxcde3",
            "!@#$%^&*()_+",
            "aaaaaaaaaaaa",
            "abcabcabcabc",
            "abcdefghijkl",
            "iloveyou1234",
            "letmein12345",
            "administrator",
            "basketball12",
            "monkeymonkey",
            "trustno1trustno1",
            &"a1B2".repeat(25),
            &"x".repeat(256),
            &"password".repeat(12),
        ] {
            assert_eq!(fault(text), Some(PasswordFault::TooGuessable), "{text}");
        }
    }

    #[test]
    fn a_name_with_decoration_is_refused_and_a_sentence_with_it_is_not() {
        for text in [
            "alice.liddell",
            "Alice.Liddell1!",
            "ALICE-2026-!x",
            "gatepost-7Kx9",
            "alice.liddell@example.org",
        ] {
            assert_eq!(fault(text), Some(PasswordFault::ContainsContext), "{text}");
        }
        assert_eq!(fault("my gatepost is painted green"), None);
        // Words of three letters are everywhere.
        let short = NewPassword::check("bob-7Kx9-qWzL", 12, &HashSet::new(), &["bob"]);
        assert!(short.is_ok());
    }

    #[test]
    fn the_operators_list_is_compared_whole_and_without_case() {
        assert_eq!(
            fault("cORRECT hORSE bATTERY"),
            Some(PasswordFault::Blocklisted)
        );
        assert_eq!(
            fault("ｃorrect horse battery"),
            Some(PasswordFault::Blocklisted)
        );
        assert_eq!(fault("correct horse battery."), None);
    }

    #[test]
    fn length_counts_code_points_after_normalization() {
        assert_eq!(fault("kurz"), Some(PasswordFault::TooShort { min: 12 }));
        assert_eq!(fault(""), Some(PasswordFault::TooShort { min: 12 }));
        // Eleven letters typed as twelve: u and its dots are one.
        assert_eq!(
            fault("gru\u{308}ne Katz3"),
            Some(PasswordFault::TooShort { min: 12 })
        );
        assert!(Password::parse(&"\u{1d11e}".repeat(256)).is_ok());
        assert_eq!(
            Password::parse(&"a".repeat(257)).err(),
            Some(PasswordFault::TooLong)
        );
        // One code point that becomes eighteen.
        assert_eq!(
            Password::parse(&"\u{fdfa}".repeat(100)).err(),
            Some(PasswordFault::TooLong)
        );
        assert_eq!(
            Password::parse(&"\u{1d11e}".repeat(257)).err(),
            Some(PasswordFault::TooLong)
        );
    }

    #[test]
    fn every_fault_has_a_code_and_says_what_to_do() {
        let faults = [
            PasswordFault::TooShort { min: 12 },
            PasswordFault::TooLong,
            PasswordFault::Blocklisted,
            PasswordFault::TooGuessable,
            PasswordFault::ContainsContext,
        ];
        let codes: HashSet<_> = faults.iter().map(|fault| fault.code()).collect();
        assert_eq!(codes.len(), faults.len());
        assert!(faults[0].to_string().contains("at least 12"));
        assert!(faults[1].to_string().contains("at most 256"));
    }

    #[test]
    fn debug_shows_no_password() {
        let password = check("blue-tiger-42").expect("a good one");
        assert!(!format!("{password:?} {:?}", check("blue-tiger-42")).contains("tiger"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_is_checked_without_panic_and_within_bounds(text in any::<String>()) {
            if let Ok(password) = NewPassword::check(&text, 1, &HashSet::new(), &CONTEXT) {
                prop_assert!(password.expose().len() <= MAX_BYTES);
                prop_assert!(password.expose().chars().count() <= MAX_CODE_POINTS);
                // NFKC of NFKC is itself, so a password can be hashed wherever it was read.
                let again = Password::parse(password.expose()).expect("it is a password");
                prop_assert_eq!(again.expose(), password.expose());
            }
        }

        #[test]
        fn twelve_random_characters_are_taken(text in "[a-zA-Z0-9!#%+]{12,40}") {
            let distinct: HashSet<char> = text.chars().collect();
            prop_assume!(distinct.len() >= 9);
            prop_assert!(check(&text).is_ok(), "{}", text);
        }
    }
}
