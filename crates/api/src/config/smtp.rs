//! Checks `SMTP_URL` and `MAIL_FROM`; the mailer reads them again.

use url::Url;

use super::settings::Environment;

/// Checks an SMTP URL. Never tells any part of it but the scheme's requirements.
///
/// `smtps://` is TLS from the start; `smtp://` needs `?tls=required` in production.
pub(super) fn check(text: &str, environment: Environment) -> Result<String, String> {
    let url = Url::parse(text.trim()).map_err(|error| {
        format!("is not a URL: {error}; percent-encode `/?#@:%` in the password")
    })?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no host".into());
    }
    if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        return Err(
            "has to end after the port and parameters; percent-encode `/?#@:%` in the password"
                .into(),
        );
    }
    if url.username().is_empty() && url.password().is_some() {
        return Err("has a password but no user".into());
    }
    let tls = tls_parameter(&url)?;
    let is_encrypted = match url.scheme() {
        "smtps" if tls.is_some() => {
            return Err("has a `tls` parameter, which smtps:// does not need".into());
        }
        "smtps" => true,
        "smtp" => tls.as_deref() == Some("required"),
        _ => return Err("has to start with smtps:// or smtp://".into()),
    };
    if !is_encrypted && environment == Environment::Production {
        return Err("would send mail in the clear; use smtps:// or add ?tls=required".into());
    }
    Ok(text.trim().to_owned())
}

fn tls_parameter(url: &Url) -> Result<Option<String>, String> {
    let mut tls = None;
    for (name, value) in url.query_pairs() {
        let is_known = matches!(&*value, "required" | "opportunistic" | "none");
        if name != "tls" || tls.is_some() || !is_known {
            return Err("takes one parameter, tls=required, tls=opportunistic or tls=none".into());
        }
        tls = Some(value.into_owned());
    }
    Ok(tls)
}

/// Checks a mailbox (RFC 5322, section 3.4).
pub(super) fn mailbox(text: &str) -> Result<String, String> {
    text.parse::<lettre::message::Mailbox>()
        .map(|_| text.to_owned())
        .map_err(|_| {
            format!("is `{text}`, which is not an address; it may carry a name before `<address>`")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_takes_encrypted_mail_only() {
        for text in [
            "smtps://u:p@mail.example.com:465",
            "smtp://mail.example.com:587?tls=required",
        ] {
            assert!(check(text, Environment::Production).is_ok(), "{text}");
        }
        for text in [
            "smtp://localhost",
            "smtp://m:25?tls=none",
            "smtp://m?tls=opportunistic",
        ] {
            assert!(check(text, Environment::Production).is_err(), "{text}");
            assert!(check(text, Environment::Development).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_fault_does_not_tell_the_password() {
        for text in [
            "mail.example.com",
            "smtp://u:hunter2/x@m",
            "smtps://u:hunter2@m/path",
            "smtps://u:hunter2@m#x",
            "http://u:hunter2@m",
            "smtps://:hunter2@m",
            "smtp://u:hunter2@m?tls=yes",
            "smtp://u:hunter2@m?ssl=1",
            "smtps://u:hunter2@m?tls=required",
        ] {
            let problem = check(text, Environment::Development).unwrap_err();
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn the_sender_is_a_mailbox() {
        assert!(mailbox("Gatepost <no-reply@example.com>").is_ok());
        assert!(mailbox("gatepost@localhost").is_ok());
        assert!(mailbox("no-reply at example.com").is_err());
        assert!(mailbox("a@example.com\r\nBcc: b@example.com").is_err());
    }
}
