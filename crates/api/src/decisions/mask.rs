//! Takes out of a question what a log must not keep.
//!
//! Values under names of secrets and of personal circumstances are replaced by `***`. What looks
//! like an e-mail address keeps its domain, and a pseudonym in the place of the person: rules
//! about domains, and rules that compare addresses, decide a masked question as they did the
//! real one.

use aws_lc_rs::hmac;
use serde_json::Value;

/// What takes the place of a value.
const HIDDEN: &str = "***";
/// Names with one of these in them hold secrets.
const SECRETS: [&str; 9] = [
    "password",
    "passwd",
    "secret",
    "token",
    "authorization",
    "cookie",
    "api_key",
    "apikey",
    "private_key",
];
/// These names hold what describes a person or where they are.
const PERSONAL: [&str; 12] = [
    "ip",
    "ip_address",
    "user_agent",
    "phone",
    "phone_number",
    "address",
    "birthdate",
    "display_name",
    "given_name",
    "family_name",
    "location",
    "device_id",
];

/// Makes pseudonyms, the same ones in all instances.
pub struct Masker(hmac::Key);

impl Masker {
    /// One whose pseudonyms nobody finds without the secret.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Masks a question in place, and says where (JSON Pointer, RFC 6901) something was replaced
    /// that a policy can no longer see.
    pub fn mask(&self, input: &mut Value) -> Vec<String> {
        let mut masked = Vec::new();
        if let Value::Object(members) = input {
            for (name, value) in members {
                match value {
                    Value::Array(grants) if name == "grants" => self.places(grants, &mut masked),
                    value => self.walk(value, &format!("/{name}"), &mut masked),
                }
            }
        }
        masked
    }

    /// Of grants only where they are held can name a person: as the path of the resource does, which
    /// it is compared with.
    fn places(&self, grants: &mut [Value], masked: &mut Vec<String>) {
        for (index, grant) in grants.iter_mut().enumerate() {
            if let Some(place) = grant.get_mut("resource") {
                self.walk(place, &format!("/grants/{index}/resource"), masked);
            }
        }
    }

    fn walk(&self, value: &mut Value, at: &str, masked: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                    if is_hidden(name) && *value != Value::Null {
                        *value = HIDDEN.into();
                        masked.push(at);
                    } else {
                        self.walk(value, &at, masked);
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.walk(item, &format!("{at}/{index}"), masked);
                }
            }
            Value::String(text) => {
                if let Some(pseudonym) = self.pseudonym(text) {
                    *text = pseudonym;
                }
            }
            _ => {}
        }
    }

    /// What stands for an e-mail address.
    fn pseudonym(&self, text: &str) -> Option<String> {
        let (person, domain) = text.split_once('@')?;
        let is_address = !person.is_empty()
            && domain.contains('.')
            && !text.contains(char::is_whitespace)
            && !domain.contains(['@', '/', ':']);
        if !is_address {
            return None;
        }
        let tag = hmac::sign(&self.0, text.to_lowercase().as_bytes());
        let short: [u8; 8] = tag.as_ref().first_chunk().copied()?;
        Some(format!("{:016x}@{domain}", u64::from_be_bytes(short)))
    }
}

fn is_hidden(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRETS.iter().any(|part| name.contains(part)) || PERSONAL.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_and_persons_are_taken_out_and_domains_stay() {
        let mut input = json!({
            "subject": {"type": "user", "id": "u1", "properties": {
                "email": "Ada@Example.com", "phone": "123", "department": "it", "mfa": true}},
            "resource": {"properties": {"owner": "ada@example.com", "other": "bob@example.com",
                "url": "https://a@b.c/"}},
            "grants": [{"role": "token"}],
            "context": {"ip": "192.0.2.1", "http": {"Authorization": "Bearer x", "a/b": null,
                "cookies": ["s=1"]}},
        });
        let masked = Masker::new(&[7; 32]).mask(&mut input);
        assert_eq!(
            masked
                .into_iter()
                .collect::<std::collections::BTreeSet<_>>(),
            [
                "/context/http/Authorization",
                "/context/http/cookies",
                "/context/ip",
                "/subject/properties/phone"
            ]
            .map(ToOwned::to_owned)
            .into()
        );
        let text = input.to_string();
        for gone in ["192.0.2.1", "Bearer", "s=1", "123", "ada@", "Ada", "bob"] {
            assert!(!text.contains(gone), "{gone}: {text}");
        }
        let owner = input["resource"]["properties"]["owner"].as_str().unwrap();
        assert!(owner.ends_with("@example.com"));
        let email = input["subject"]["properties"]["email"].as_str().unwrap();
        assert_eq!(
            owner.split_once('@').unwrap().0,
            email.split_once('@').unwrap().0
        );
        assert_ne!(owner, input["resource"]["properties"]["other"]);
        assert_eq!(input["resource"]["properties"]["url"], "https://a@b.c/");
        assert_eq!(input["grants"][0]["role"], "token");
    }
}
