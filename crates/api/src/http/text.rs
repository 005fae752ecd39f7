//! Text that clients send: types that parse what is acceptable.

use std::{fmt, ops::Deref};

use email_address::{EmailAddress, Options};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use utoipa::ToSchema;

use crate::access::registered;

/// The form in which text is compared without regard to case: NFKC and lower case.
pub fn normalized(text: &str) -> String {
    text.nfkc()
        .collect::<String>()
        .to_lowercase()
        .nfkc()
        .collect()
}

macro_rules! text_type {
    ($(#[$meta:meta])* $name:ident, $parse:expr) => {
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
        $(#[$meta])*
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let parse: fn(String) -> Result<String, String> = $parse;
                parse(text).map(Self)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_type! {
    /// A name of something: 1 to 80 characters, no control characters, no space around it.
    #[schema(min_length = 1, max_length = 80)]
    Name,
    |text| line(text, 1, 80)
}

text_type! {
    /// What a person is called on the screen: 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    DisplayName,
    |text| line(text, 1, 100)
}

text_type! {
    /// Why something was done: up to 512 characters.
    #[schema(min_length = 1, max_length = 512)]
    Reason,
    |text| line(text, 1, 512)
}

text_type! {
    /// What something is for: up to 512 characters, or none.
    #[schema(max_length = 512)]
    Description,
    |text| line(text, 0, 512)
}

text_type! {
    /// An address that mail can be sent to (RFC 5321, without display name, comments or
    /// address literals): up to 254 characters. Kept as written, compared normalized.
    #[schema(format = "email", max_length = 254)]
    Email,
    |text| {
        let options = Options::default().without_display_text().without_domain_literal().with_required_tld();
        let local = text.ends_with("@localhost");
        let options = if local { options.with_no_minimum_sub_domains() } else { options };
        // What it is compared by can be longer than what was written.
        if text.len() > 254 || normalized(&text).chars().count() > 254 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("is not an e-mail address".to_owned());
        }
        EmailAddress::parse_with_options(&text, options)
            .map(|address| address.to_string())
            .map_err(|_| "is not an e-mail address".to_owned())
    }
}

text_type! {
    /// A username: 2 to 50 letters, digits, `.`, `_` and `-`, beginning with a letter or a digit.
    #[schema(min_length = 2, max_length = 50, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{1,49}$")]
    Username,
    |text| {
        let fits = (2..=50).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        fits.then_some(text).ok_or_else(|| {
            "must be 2 to 50 letters, digits, '.', '_' or '-', and begin with a letter or a digit".to_owned()
        })
    }
}

text_type! {
    /// A type of an application's things: `[a-z][a-z0-9_-]{0,62}`, none of Gatepost's own.
    #[schema(min_length = 1, max_length = 63, pattern = "^[a-z][a-z0-9_-]{0,62}$")]
    ThingType,
    |text| {
        registered::is_type(&text).then_some(text).ok_or_else(|| {
            "must be 1 to 63 of a-z, 0-9, '_' and '-', begin with a letter, and be no type of Gatepost's own".to_owned()
        })
    }
}

text_type! {
    /// What an application calls one of its things: 1 to 256 characters.
    #[schema(min_length = 1, max_length = 256)]
    ThingId,
    |text| {
        registered::is_id(&text)
            .then_some(text)
            .ok_or_else(|| "must have 1 to 256 characters, none of them NUL".to_owned())
    }
}

text_type! {
    /// A short name for URLs: 2 to 63 of `a-z`, `0-9` and `-`, no dash at either end.
    #[schema(min_length = 2, max_length = 63, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])$")]
    Slug,
    |text| {
        let fits = (2..=63).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        fits.then_some(text).ok_or_else(|| {
            "must be 2 to 63 of a-z, 0-9 and '-', with no dash at either end".to_owned()
        })
    }
}

text_type! {
    /// What a role is called in requests: 1 to 63 of `a-z`, `0-9`, `_` and `-`, beginning with a letter.
    #[schema(min_length = 1, max_length = 63, pattern = "^[a-z][a-z0-9_-]{0,62}$")]
    RoleKey,
    |text| {
        let fits = (1..=63).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
        fits.then_some(text).ok_or_else(|| {
            "must be 1 to 63 of a-z, 0-9, '_' and '-', and begin with a letter".to_owned()
        })
    }
}

text_type! {
    /// The address of a picture: `https://…` (or `http://…`), up to 500 characters.
    #[schema(format = "uri", max_length = 500)]
    PictureUrl,
    |text| {
        let is_web = url::Url::parse(&text)
            .is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
        let plain = !text.chars().any(|c| c.is_control() || c.is_whitespace());
        (is_web && plain && text.chars().count() <= 500)
            .then_some(text)
            .ok_or_else(|| "must be an http or https URL of up to 500 characters".to_owned())
    }
}

text_type! {
    /// A language tag such as `en` or `pt-BR` (RFC 5646, language and region only).
    #[schema(pattern = "^[a-z]{2,3}(-[A-Z]{2})?$")]
    Locale,
    |text| {
        let (language, region) = text.split_once('-').map_or((text.as_str(), None), |(l, r)| (l, Some(r)));
        let fits = (2..=3).contains(&language.len())
            && language.bytes().all(|b| b.is_ascii_lowercase())
            && region.is_none_or(|r| r.len() == 2 && r.bytes().all(|b| b.is_ascii_uppercase()));
        fits.then_some(text).ok_or_else(|| "must be a language tag such as en or pt-BR".to_owned())
    }
}

impl Slug {
    /// A slug made of a name: what is no letter or digit becomes a dash.
    pub fn from_name(name: &str) -> Self {
        let mut slug = String::new();
        for c in normalized(name).chars() {
            if c.is_ascii_alphanumeric() {
                slug.push(c);
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.truncate(50);
        let slug = slug.trim_matches('-');
        Self(if slug.len() < 2 {
            format!("org-{}", &uuid::Uuid::new_v4().simple().to_string()[..12])
        } else {
            slug.to_owned()
        })
    }
}

/// One line of text, with no space around it.
fn line(text: String, min: usize, max: usize) -> Result<String, String> {
    let count = text.chars().count();
    if !(min..=max).contains(&count) {
        return Err(format!("must have {min} to {max} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("must have no control characters".to_owned());
    }
    if text.trim() != text {
        return Err("must have no space around it".to_owned());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_other_text() {
        for good in [
            "a@example.com",
            "a.b+c@sub.example.org",
            "admin@localhost",
            "ü@example.com",
        ] {
            assert!(Email::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "@b.c",
            "a@",
            "a b@c.de",
            "A <a@b.de>",
            "a@[1.2.3.4]",
            "a@b",
            "a@b.de\r\nBcc: x@y.de",
        ] {
            assert!(Email::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn forms_that_look_alike_are_the_same() {
        assert_eq!(normalized("ＡＢＣ"), normalized("abc"));
        assert_eq!(normalized("ﬁn"), "fin");
    }

    #[test]
    fn every_name_gives_a_slug() {
        for name in ["Acme, Inc.", "日本", "-", "A", &"x y".repeat(40)] {
            let slug = Slug::from_name(name);
            assert!(Slug::try_from(slug.to_string()).is_ok(), "{name} -> {slug}");
        }
    }
}
