//! What a login costs that belongs to nobody.
//!
//! A hash that came from another system takes another time than one of ours. If every unknown
//! login took the time of ours, another time would tell that a login exists. So unknown logins are
//! dealt out over the kinds of hashes that there are, in the same proportion, and each always to
//! the same kind: what takes long may be somebody's or nobody's.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;

use super::foreign::Format;

/// The kinds of hashes that users have, besides those of today's parameters.
pub struct Decoys {
    key: hmac::Key,
    kinds: ArcSwap<Kinds>,
}

#[derive(Default)]
struct Kinds {
    /// Users with a password.
    total: u64,
    /// An example of each kind, and how many users have one of it or of those before it.
    examples: Vec<(u64, Arc<Format>)>,
}

impl Decoys {
    /// `key` is the same on every instance, so that a login is dealt out the same everywhere.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            kinds: ArcSwap::default(),
        }
    }

    /// Says how many users have a password, and of the hashes that are not of today's parameters
    /// an example of each kind and how many there are of it.
    pub fn set(&self, total: u64, examples: impl IntoIterator<Item = (String, u64)>) {
        let mut sum = 0_u64;
        let examples = examples
            .into_iter()
            .filter_map(|(text, count)| {
                let format = Format::identify(&text).ok()?;
                sum = sum.saturating_add(count);
                Some((sum, Arc::new(format)))
            })
            .collect();
        self.kinds.store(Arc::new(Kinds { total, examples }));
    }

    /// What kind of hash the unknown `login` seems to have; `None` is one of today's parameters.
    #[must_use]
    pub fn pick(&self, login: &str) -> Option<Arc<Format>> {
        let kinds = self.kinds.load();
        let tag = hmac::sign(&self.key, login.as_bytes());
        let draw = tag
            .as_ref()
            .first_chunk()
            .map(|draw| u64::from_be_bytes(*draw))?;
        // A number from 0 to total - 1.
        let place = u64::try_from((u128::from(draw) * u128::from(kinds.total)) >> 64).ok()?;
        let found = kinds.examples.iter().find(|(end, _)| place < *end);
        found.map(|(_, format)| Arc::clone(format))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCRYPT: &str = "$2b$04$OqyGUXeXeQyx.jx2GgVH2O8CmXWfShXJHosmbfYZXUpkO5RuOjQja";
    const SHA: &str = "$5$saltsalt$VtlgzOi3zbe96XiYSxgFNcfoxUb4d1jWndGcgw1AbZ9";

    #[test]
    fn unknown_logins_are_dealt_out_as_known_ones_are() {
        let decoys = Decoys::new(b"key");
        assert!(decoys.pick("anna").is_none());
        decoys.set(100, [(BCRYPT.to_owned(), 50), (SHA.to_owned(), 25)]);
        let names: Vec<_> = (0..4000)
            .map(|number| decoys.pick(&format!("person{number}")))
            .map(|kind| kind.map_or("ours", |kind| kind.name()))
            .collect();
        for (name, wanted) in [("bcrypt", 2000), ("SHA-256-crypt", 1000), ("ours", 1000)] {
            let count = names.iter().filter(|kind| **kind == name).count();
            assert!(count.abs_diff(wanted) < 150, "{name}: {count}");
        }
        let again = Decoys::new(b"key");
        again.set(100, [(BCRYPT.to_owned(), 50), (SHA.to_owned(), 25)]);
        for number in 0..100 {
            let login = format!("person{number}");
            assert_eq!(decoys.pick(&login), again.pick(&login));
        }
    }
}
