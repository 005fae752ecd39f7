//! The languages in which people are written to.

use actix_web::{HttpRequest, http::header::ACCEPT_LANGUAGE};

/// A language of our mails and pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English, which also stands in for every language that we do not write.
    #[default]
    English,
    /// German.
    German,
    /// French.
    French,
}

impl Language {
    /// All of them, in the order of their variants.
    pub const ALL: [Self; 3] = [Self::English, Self::German, Self::French];

    /// Its tag (RFC 5646), as it stands in `lang` attributes.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::French => "fr",
        }
    }

    /// The language of a tag such as `de` or `de-AT`, if we write it.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default().trim();
        Self::ALL
            .into_iter()
            .find(|language| language.tag().eq_ignore_ascii_case(primary))
    }

    /// The language of a profile's `locale`.
    pub fn of_locale(locale: Option<&str>) -> Self {
        locale.and_then(Self::of_tag).unwrap_or_default()
    }

    /// What the sender of a request reads, if it is among ours.
    pub fn of_request(req: &HttpRequest) -> Option<Self> {
        let header = req.headers().get(ACCEPT_LANGUAGE)?;
        Self::accepted(header.to_str().ok()?)
    }

    /// The best of ours for an `Accept-Language` (RFC 9110, section 12.5.4): the highest weight
    /// that is not zero, of equals the first.
    fn accepted(header: &str) -> Option<Self> {
        let weighed = header.split(',').filter_map(|range| {
            let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
            let weight = parameters
                .trim()
                .strip_prefix("q=")
                .map_or(Some(1.0), |text| text.trim().parse::<f32>().ok())?;
            Some((Self::of_tag(tag)?, weight)).filter(|_| weight > 0.0)
        });
        let best = weighed.fold(
            None,
            |best: Option<(Self, f32)>, (language, weight)| match best {
                Some((_, highest)) if highest >= weight => best,
                _ => Some((language, weight)),
            },
        );
        best.map(|(language, _)| language)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_no_matter() {
        for (locale, expected) in [
            (Some("de-AT"), Language::German),
            (Some("fr"), Language::French),
            (Some("FR-ca"), Language::French),
            (Some("deu"), Language::English),
            (Some("pt-BR"), Language::English),
            (Some(""), Language::English),
            (None, Language::English),
        ] {
            assert_eq!(Language::of_locale(locale), expected, "{locale:?}");
        }
    }

    #[test]
    fn a_browser_gets_the_language_that_it_likes_best() {
        for (header, expected) in [
            ("de-DE,de;q=0.9,en;q=0.8", Some(Language::German)),
            ("en;q=0.5, fr;q=0.9", Some(Language::French)),
            ("nl, fr;q=0.1", Some(Language::French)),
            ("de;q=0", None),
            ("de;q=x, fr", Some(Language::French)),
            ("fr, de", Some(Language::French)),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(Language::accepted(header), expected, "{header}");
        }
    }
}
