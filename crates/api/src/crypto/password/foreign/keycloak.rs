//! Keycloak's credentials, as its exports and its database have them: JSON of the algorithm and
//! its parameters (`credentialData`) and of salt and hash (`secretData`), each a text in a text;
//! up to version 8 the same without those two.

use std::{borrow::Cow, num::NonZeroU32};

use argon2::{Algorithm, Version};
use serde_json::Value;

use super::{
    Argon2Hash, Format, FormatFault,
    pbkdf2::{Digest, Pbkdf2},
    text,
};

const NAME: &str = "Keycloak credential";

pub fn read(credential: &Value) -> Result<Format, FormatFault> {
    let malformed = |why| FormatFault::Malformed { name: NAME, why };
    if credential
        .get("type")
        .is_some_and(|kind| kind != "password")
    {
        return Err(malformed("its type is not password"));
    }
    let data = inner(credential, "credentialData").ok_or_else(|| malformed("no credentialData"))?;
    let secret = inner(credential, "secretData").ok_or_else(|| malformed("no secretData"))?;
    let bytes = |name: &str| {
        secret
            .get(name)
            .and_then(Value::as_str)
            .and_then(text::decode)
    };
    let tag = bytes("value").or_else(|| bytes("hashedSaltedValue"));
    let salt = bytes("salt");
    let iterations = data.get("hashIterations").and_then(number);
    let algorithm = data.get("algorithm").and_then(Value::as_str);
    let digest = match algorithm {
        Some("pbkdf2") => Digest::Sha1,
        Some("pbkdf2-sha256") => Digest::Sha256,
        Some("pbkdf2-sha512") => Digest::Sha512,
        Some("argon2") => return argon2(&data, iterations, salt, tag),
        _ => {
            return Err(FormatFault::Unsupported {
                name: "this algorithm of a Keycloak credential",
                why: "pbkdf2, pbkdf2-sha256, pbkdf2-sha512 and argon2 are; leave the credential \
                      out, and the user chooses a new password",
            });
        }
    };
    let iterations = iterations.and_then(NonZeroU32::new);
    Pbkdf2::of_parts(digest, iterations, salt, tag).map(Format::Pbkdf2)
}

/// A part that is JSON, JSON in a text, or (in old exports) the credential itself.
fn inner<'a>(credential: &'a Value, name: &str) -> Option<Cow<'a, Value>> {
    match credential.get(name) {
        Some(Value::String(text)) => serde_json::from_str(text).ok().map(Cow::Owned),
        Some(object) => Some(Cow::Borrowed(object)),
        None if credential.get("algorithm").is_some() => Some(Cow::Borrowed(credential)),
        None => None,
    }
}

fn number(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => number
            .as_u64()
            .and_then(|number| u32::try_from(number).ok()),
        Value::String(text) => text.parse().ok(),
        // Additional parameters are lists of texts.
        Value::Array(list) => list.first().and_then(number),
        _ => None,
    }
}

fn argon2(
    data: &Value,
    passes: Option<u32>,
    salt: Option<Vec<u8>>,
    tag: Option<Vec<u8>>,
) -> Result<Format, FormatFault> {
    let malformed = |why| FormatFault::Malformed { name: NAME, why };
    let more = |name: &str| {
        data.get("additionalParameters")
            .and_then(|more| more.get(name))
    };
    let word = |name: &str| match more(name)? {
        Value::Array(list) => list.first()?.as_str(),
        other => other.as_str(),
    };
    let algorithm = match word("type") {
        None | Some("id") => Algorithm::Argon2id,
        Some("i") => Algorithm::Argon2i,
        Some("d") => Algorithm::Argon2d,
        Some(_) => return Err(malformed("the type has to be id, i or d")),
    };
    let version = match word("version") {
        None | Some("1.3") => Version::V0x13,
        Some("1.0") => Version::V0x10,
        Some(_) => return Err(malformed("the version has to be 1.3 or 1.0")),
    };
    let params = [
        more("memory").and_then(number),
        passes,
        more("parallelism").and_then(number),
    ];
    let [Some(memory), Some(passes), Some(lanes)] = params else {
        return Err(malformed(
            "memory, hashIterations and parallelism have to be there",
        ));
    };
    let salt = text::salt("Argon2", salt)?;
    let tag = text::tag("Argon2", tag)?;
    Argon2Hash::of_parts(algorithm, version, [memory, passes, lanes], salt, tag).map(Format::Argon2)
}
