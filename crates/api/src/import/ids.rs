//! The ids of what is imported.

use aws_lc_rs::digest::{SHA256, digest};
use uuid::{Builder, Uuid};

use super::report::Kind;

/// An id that follows from the source's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceId {
    /// The id here.
    pub id: Uuid,
    /// Whether it is the source's own, and not made from it.
    pub kept: bool,
}

/// What `key` is called here: a UUID keeps being itself. Anything else, such as a number, becomes
/// a UUID that follows from it, from the kind of thing and from the name of the source (RFC 9562,
/// version 8, by SHA-256), so that a second run finds what the first one wrote.
#[must_use]
pub fn of(source: &str, kind: Kind, key: &str) -> SourceId {
    match Uuid::try_parse(key) {
        Ok(id) if !id.is_nil() && !id.is_max() => SourceId { id, kept: true },
        _ => {
            let name = format!("gatepost import\n{source}\n{}\n{key}", kind.as_str());
            let hash = digest(&SHA256, name.as_bytes());
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&hash.as_ref()[..16]);
            SourceId {
                id: Builder::from_custom_bytes(bytes).into_uuid(),
                kept: false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_stay_and_other_keys_become_uuids_that_follow_from_them() {
        let uuid = "0193a5f0-7e3c-7000-8000-00000000002a";
        for text in [uuid.to_owned(), uuid.replace('-', ""), uuid.to_uppercase()] {
            let found = of("a", Kind::Users, &text);
            assert_eq!((found.id.to_string().as_str(), found.kept), (uuid, true));
        }
        let id = of("a", Kind::Users, "17");
        assert_eq!(id, of("a", Kind::Users, "17"));
        assert!(!id.kept && id.id.get_version_num() == 8);
        for other in [
            of("b", Kind::Users, "17"),
            of("a", Kind::Projects, "17"),
            of("a", Kind::Users, "18"),
            of("a", Kind::Users, &Uuid::nil().to_string()),
        ] {
            assert_ne!(id, other);
        }
    }
}
