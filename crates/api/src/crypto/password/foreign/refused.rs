//! Texts that are no hash of ours, by the name that their owner knows them by.

use super::FormatFault;

const LEAVE_OUT: &str =
    "it can be guessed too fast to be kept; leave it out, and the user chooses a new password";
const NOT_COMPUTED: &str =
    "it is not computed here; leave it out, and the user chooses a new password";

/// How a text begins, what it is, and why it is not taken.
const BEGINNINGS: [(&str, &str, &str); 27] = [
    ("$1$", "md5crypt ($1$)", LEAVE_OUT),
    ("$apr1$", "Apache's md5crypt ($apr1$)", LEAVE_OUT),
    (
        "$2x$",
        "bcrypt $2x$",
        "it marks hashes of a faulty implementation, which match other passwords, too; leave it \
         out, and the user chooses a new password",
    ),
    ("$2$", "bcrypt $2$", NOT_COMPUTED),
    ("$bcrypt-sha256$", "passlib's bcrypt_sha256", NOT_COMPUTED),
    ("$3$", "the NT hash ($3$)", LEAVE_OUT),
    ("$7$", "scrypt of crypt(3) ($7$)", NOT_COMPUTED),
    ("$y$", "yescrypt ($y$)", NOT_COMPUTED),
    ("$gy$", "gost-yescrypt ($gy$)", NOT_COMPUTED),
    ("$md5", "Sun's MD5 ($md5)", LEAVE_OUT),
    ("$sha1$", "sha1crypt ($sha1$)", NOT_COMPUTED),
    ("$P$", "phpass ($P$)", LEAVE_OUT),
    ("$H$", "phpass ($H$)", LEAVE_OUT),
    ("$S$", "Drupal's SHA-512 ($S$)", NOT_COMPUTED),
    (
        "$pbkdf2-",
        "PBKDF2 with another digest",
        "SHA-1, SHA-256 and SHA-512 are supported",
    ),
    (
        "pbkdf2:",
        "Werkzeug's PBKDF2",
        "write it as pbkdf2_sha256$<iterations>$<salt>$<hash in base64>",
    ),
    (
        "scrypt:",
        "Werkzeug's scrypt",
        "write it as scrypt$<N>$<salt>$<r>$<p>$<hash in base64>",
    ),
    ("md5$", "Django's MD5", LEAVE_OUT),
    ("sha1$", "Django's SHA-1", LEAVE_OUT),
    ("unsalted_", "Django's unsalted digest", LEAVE_OUT),
    ("crypt$", "Django's crypt", LEAVE_OUT),
    (
        "{CRYPT}",
        "an LDAP password",
        "take {CRYPT} off its beginning",
    ),
    ("{", "an LDAP password", LEAVE_OUT),
    (
        "!",
        "an unusable password",
        "leave it out: the user then has none",
    ),
    (
        "*",
        "an unusable password",
        "leave it out: the user then has none",
    ),
    ("_", "BSDi's DES crypt", LEAVE_OUT),
    (
        "$argon2",
        "another Argon2",
        "argon2i, argon2d and argon2id are supported",
    ),
];

/// Names a text that no module knows.
pub fn by_name(text: &str) -> FormatFault {
    let known = BEGINNINGS
        .iter()
        .find(|(beginning, ..)| text.starts_with(beginning));
    let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (name, why) = match (known, text.len()) {
        (Some((_, name, why)), _) => (*name, *why),
        (None, 0) => (
            "an empty text",
            "leave it out: the user then has no password",
        ),
        (None, 32) if is_hex => ("a bare MD5 or NT hash", LEAVE_OUT),
        (None, 40) if is_hex => ("a bare SHA-1", LEAVE_OUT),
        (None, 64) if is_hex => ("a bare SHA-256", LEAVE_OUT),
        (None, 128) if is_hex => ("a bare SHA-512", LEAVE_OUT),
        (None, _) if text.starts_with('$') => ("this form of hash", NOT_COMPUTED),
        (None, _) => (
            "a text that is no known hash",
            "passwords themselves are never imported; see the list of forms in \
             docs/guides/importing-users.md",
        ),
    };
    FormatFault::Unsupported { name, why }
}
