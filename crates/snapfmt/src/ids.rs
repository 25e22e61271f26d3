//! Digests and the identities made of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A BLAKE3-256 value, or an identity derived from one. Written as 64 lower-case hex digits.
///
/// The identities below are distinct types around it, so that a state id is never compared with a
/// snapshot id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Wraps 32 bytes that are already a digest.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// BLAKE3 of `bytes`, unkeyed: what `b3sum` prints.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Text that is not 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest: 64 hexadecimal digits are expected")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        blake3::Hash::from_hex(text).map(|h| Self(*h.as_bytes())).map_err(|_| NotADigest)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Digest);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = NotADigest;
            fn from_str(text: &str) -> Result<Self, NotADigest> {
                text.parse().map(Self)
            }
        }
    };
}

identity! {
    /// What a member contains, however it is stored: see [`crate::state`].
    StateId
}
identity! {
    /// One snapshot file's manifest, extent map and the logical columns of its index.
    SnapshotId
}
identity! {
    /// The snapshot ids of all members of a set: what a user pins.
    SetContentId
}

impl SetContentId {
    /// Hashes the members' snapshot ids, in roster order.
    pub fn of(members: &[SnapshotId]) -> Self {
        let mut hasher = keyed(Domain::SetContent);
        for id in members {
            hasher.update(id.0.as_bytes());
        }
        Self(Digest(*hasher.finalize().as_bytes()))
    }
}

/// The first 16 bytes of BLAKE3 of a manifest: marks every frame as belonging to one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub struct FileTag(pub [u8; 16]);

impl FileTag {
    /// The tag of the file whose manifest frame carries these bytes.
    pub fn of_manifest(json: &[u8]) -> Self {
        let mut tag = [0; 16];
        for (to, from) in tag.iter_mut().zip(Digest::of(json).as_bytes()) {
            *to = *from;
        }
        Self(tag)
    }
}

/// What a keyed hash is for; keeps a value of one use from passing as one of another.
#[derive(Clone, Copy)]
pub(crate) enum Domain {
    StateNode,
    StateRoot,
    Snapshot,
    SetContent,
}

impl Domain {
    /// The BLAKE3 key: this text, in ASCII, exactly 32 bytes.
    pub(crate) const fn key(self) -> &'static [u8; 32] {
        match self {
            Self::StateNode => b"snaprestore v1 state tree node..",
            Self::StateRoot => b"snaprestore v1 state id.........",
            Self::Snapshot => b"snaprestore v1 snapshot id......",
            Self::SetContent => b"snaprestore v1 set content id...",
        }
    }
}

/// A keyed BLAKE3 hasher for `domain`.
pub(crate) fn keyed(domain: Domain) -> blake3::Hasher {
    blake3::Hasher::new_keyed(domain.key())
}

/// The digest a keyed hasher has arrived at.
pub(crate) fn finish(hasher: &blake3::Hasher) -> Digest {
    Digest(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{Digest, SetContentId, SnapshotId};

    #[test]
    fn a_digest_is_read_back_from_its_text() {
        let digest = Digest::of(b"x");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("12".parse::<Digest>().is_err());
    }

    #[test]
    fn the_content_id_depends_on_the_order_of_members() {
        let [a, b] = [b"a", b"b"].map(|t| SnapshotId(Digest::of(t)));
        assert_ne!(SetContentId::of(&[a, b]), SetContentId::of(&[b, a]));
    }
}
