//! What a `User-Agent` says, in words that stay the same over updates.

use std::fmt;

/// Tokens of browsers, first match wins: those that pass themselves off as others come first.
const FAMILIES: [(&str, &str); 12] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("OPX/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("YaBrowser/", "Yandex Browser"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Chromium/", "Chrome"),
    ("Safari/", "Safari"),
];

/// Tokens of platforms, first match wins: an Android says `Linux`, an iPhone `like Mac OS X`.
const PLATFORMS: [(&str, &str); 9] = [
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Mac OS X", "macOS"),
    ("Macintosh", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
    ("X11", "Unix"),
];

/// Longest name of a program that is repeated.
const NAME_CHARS: usize = 40;

/// The browser or program, and the platform it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    family: Option<String>,
    platform: Option<&'static str>,
}

impl Agent {
    /// Reads a `User-Agent` header (RFC 9110, section 10.1.5). Whatever it holds, something comes of it.
    pub fn read(header: Option<&str>) -> Self {
        let text = header.unwrap_or_default();
        let find = |tokens: &[(&str, &'static str)]| {
            tokens
                .iter()
                .find(|(token, _)| text.contains(token))
                .map(|(_, name)| *name)
        };
        Self {
            family: find(&FAMILIES)
                .map(ToOwned::to_owned)
                .or_else(|| product(text)),
            platform: find(&PLATFORMS),
        }
    }

    /// What a device is recognised by. The same for all versions of a browser on a platform.
    pub fn fingerprint(&self) -> String {
        let family = self.family.as_deref().unwrap_or("?");
        format!("{family}/{}", self.platform.unwrap_or("?"))
    }
}

/// `Firefox on Linux`.
impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.family, self.platform) {
            (Some(family), Some(platform)) => write!(f, "{family} on {platform}"),
            (Some(family), None) => f.write_str(family),
            (None, Some(platform)) => f.write_str(platform),
            (None, None) => f.write_str("Unknown device"),
        }
    }
}

/// The first product of a program that is no browser: `curl` of `curl/8.5.0`. Only plain names,
/// because the text goes into mails.
fn product(text: &str) -> Option<String> {
    let name = text.split(['/', ' ']).next().unwrap_or_default();
    let is_plain = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    (is_plain && name != "Mozilla" && (1..=NAME_CHARS).contains(&name.len()))
        .then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(header: &str) -> String {
        Agent::read(Some(header)).to_string()
    }

    #[test]
    fn browsers_are_told_apart_although_all_say_mozilla() {
        let mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)";
        let windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)";
        let webkit = "AppleWebKit/537.36 (KHTML, like Gecko)";
        for (header, expected) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0".to_owned(),
                "Firefox on Linux",
            ),
            (
                format!("{windows} {webkit} Chrome/142.0.0.0 Safari/537.36"),
                "Chrome on Windows",
            ),
            (
                format!("{windows} {webkit} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0"),
                "Edge on Windows",
            ),
            (
                format!("{windows} {webkit} Chrome/142.0.0.0 Safari/537.36 OPR/126.0.0.0"),
                "Opera on Windows",
            ),
            (
                format!(
                    "{mac} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15"
                ),
                "Safari on macOS",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 26_1 like Mac OS X) AppleWebKit/605.1.15 \
                 (KHTML, like Gecko) CriOS/142.0.0.0 Mobile/15E148 Safari/604.1"
                    .to_owned(),
                "Chrome on iPhone",
            ),
            (
                format!(
                    "Mozilla/5.0 (Linux; Android 16; K) {webkit} Chrome/142.0.0.0 Mobile Safari/537.36"
                ),
                "Chrome on Android",
            ),
            (
                format!(
                    "Mozilla/5.0 (X11; Linux x86_64) {webkit} HeadlessChrome/142.0.0.0 Safari/537.36"
                ),
                "Chrome on Linux",
            ),
        ] {
            assert_eq!(words(&header), expected, "{header}");
        }
    }

    #[test]
    fn other_programs_go_by_their_own_name_if_it_is_plain() {
        assert_eq!(words("curl/8.5.0"), "curl");
        assert_eq!(words("python-requests/2.32.3"), "python-requests");
        for strange in [
            "",
            "Mozilla/5.0",
            "<b>x</b>/1",
            "http://evil.example/",
            "ünï/1",
            &"x".repeat(41),
        ] {
            assert_eq!(words(strange), "Unknown device", "{strange}");
        }
        assert_eq!(Agent::read(None).to_string(), "Unknown device");
    }

    #[test]
    fn an_update_changes_no_fingerprint_and_another_browser_does() {
        let firefox = |version: u32, os: &str| {
            let header =
                format!("Mozilla/5.0 ({os}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0");
            Agent::read(Some(&header)).fingerprint()
        };
        assert_eq!(
            firefox(144, "X11; Linux x86_64"),
            firefox(145, "X11; Linux x86_64")
        );
        assert_ne!(
            firefox(145, "X11; Linux x86_64"),
            firefox(145, "Windows NT 10.0")
        );
        assert_eq!(firefox(145, "X11; Linux x86_64"), "Firefox/Linux");
    }
}
