//! The small pieces that the texts of hashes are made of.

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};

use super::FormatFault;

/// A shorter tag would be matched by chance.
const TAG: std::ops::RangeInclusive<usize> = 16..=64;
/// What the column has room for, and more than anybody uses.
const SALT: std::ops::RangeInclusive<usize> = 1..=64;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Base64 with or without padding, in the standard alphabet, the URL-safe one or passlib's.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let standard: String = text
        .chars()
        .map(|c| match c {
            '-' | '.' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    LENIENT.decode(standard).ok()
}

/// Base64 in the standard alphabet without padding, as PHC strings have it.
pub fn encode(bytes: &[u8]) -> String {
    general_purpose::STANDARD_NO_PAD.encode(bytes)
}

/// The value of `name` in a list such as `ln=14,r=8,p=1`.
pub fn param<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    list.split(',').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then_some(value)
    })
}

/// A salt of a usual length.
pub fn salt(name: &'static str, bytes: Option<Vec<u8>>) -> Result<Vec<u8>, FormatFault> {
    within(bytes, SALT).ok_or(FormatFault::Malformed {
        name,
        why: "the salt has to be 1 to 64 bytes in base64",
    })
}

/// What a computed hash is compared with.
pub fn tag(name: &'static str, bytes: Option<Vec<u8>>) -> Result<Vec<u8>, FormatFault> {
    within(bytes, TAG).ok_or(FormatFault::Malformed {
        name,
        why: "the hash has to be 16 to 64 bytes in base64",
    })
}

fn within(bytes: Option<Vec<u8>>, length: std::ops::RangeInclusive<usize>) -> Option<Vec<u8>> {
    bytes.filter(|bytes| length.contains(&bytes.len()))
}

/// What the C functions of `crypt(3)` see of a text: all before the first NUL.
pub fn c_string(typed: &[u8]) -> &[u8] {
    typed.split(|byte| *byte == 0).next().unwrap_or_default()
}
