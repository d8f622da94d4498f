//! Keys: a stream, type, tag, category or snapshot as one 128-bit number.
//!
//! Everything that can be looked up is a key with a list of records. The hash is SipHash-2-4 with 128 bits of output
//! (Aumasson and Bernstein, 2012), keyed with a secret of the store, so that nobody can choose names that collide.
//! Relies on: the secret of the manifest. Never: trusts a truncated hash; indexes compare names.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

/// The hash of a key.
pub(crate) type KeyHash = u128;

/// What a key stands for; the numbers are those of the index format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum KeyKind {
    Stream = 1,
    EventType = 2,
    Tag = 3,
    Category = 4,
    Snapshot = 5,
    /// The records that change a stream without being its events.
    Control = 6,
    /// The same for all streams of a category.
    CategoryControl = 7,
}

/// Hashes keys with the store's secret.
#[derive(Clone)]
pub(crate) struct Keyer {
    secret: [u8; 16],
}

impl std::fmt::Debug for Keyer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyer(secret)")
    }
}

impl Keyer {
    pub(crate) const fn new(secret: [u8; 16]) -> Self {
        Self { secret }
    }

    pub(crate) fn hash(&self, kind: KeyKind, name: &str) -> KeyHash {
        self.hash_parts(kind, name, "")
    }

    pub(crate) fn stream(&self, name: &str) -> KeyHash {
        self.hash(KeyKind::Stream, name)
    }

    /// The key of the snapshots of a stream under one fold.
    pub(crate) fn snapshot(&self, stream: &str, key: &str) -> KeyHash {
        self.hash_parts(KeyKind::Snapshot, stream, key)
    }

    fn hash_parts(&self, kind: KeyKind, first: &str, second: &str) -> KeyHash {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        hasher.write(&[kind as u8]);
        hasher.write(first.as_bytes());
        if !second.is_empty() {
            hasher.write(&[0]);
            hasher.write(second.as_bytes());
        }
        hasher.finish128().as_u128()
    }
}

/// Mixes a stream and an event id into the fingerprint that the window of recent ids keeps. Clients choose ids, so every bit of an id reaches every
/// bit of it: ids that differ little begin at places that have nothing to do with each other. What a stream hashes to, no client knows.
pub(crate) fn id_fingerprint(stream: KeyHash, id: u128) -> u64 {
    let product =
        (stream ^ id.rotate_left(64)).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    // In a product, no bit reaches a lower one.
    let high = (product >> 64) as u64;
    let mixed = (high ^ (high >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 29)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{KeyKind, Keyer, id_fingerprint};

    #[test]
    fn kinds_and_parts_do_not_run_into_each_other() {
        let keyer = Keyer::new([7; 16]);
        assert_ne!(
            keyer.hash(KeyKind::Stream, "a"),
            keyer.hash(KeyKind::Tag, "a")
        );
        assert_ne!(keyer.snapshot("a", "b"), keyer.snapshot("ab", ""));
        assert_ne!(keyer.stream("a"), Keyer::new([8; 16]).stream("a"));
        assert_eq!(keyer.stream("order-1"), keyer.stream("order-1"));
    }

    #[test]
    fn ids_that_differ_in_a_few_neighbouring_bits_are_spread() {
        let stream = Keyer::new([7; 16]).stream("order-1");
        for shift in 0..=116 {
            let fingerprints = (0..1 << 12).map(|number| id_fingerprint(stream, number << shift));
            let places: HashSet<u64> = fingerprints.map(|print| print & 0xFFFF).collect();
            // Of 65,536 places, 4,096 chosen by chance are 3,969 different ones; a standard deviation is 11.
            let spread = places.len();
            assert!(spread > 3_900, "{spread} places, bits from {shift} on");
        }
    }
}
