//! Digests of the volume as one stream of bytes, for comparing with what other programs say of it.

use std::fmt::Write;
use std::ops::Range;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use digest::DynDigest;

/// Zeros are hashed in pieces of this many bytes.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A digest that other programs have too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Algorithm {
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// MD5 (RFC 1321). Notices accidents, not intent.
    Md5,
    /// SHA-1 (FIPS 180-4). Notices accidents, not intent.
    Sha1,
    /// BLAKE3, 256 bits.
    Blake3,
}

/// A name that is no algorithm's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("sha256, md5, sha1 or blake3 is expected")]
pub struct NotAnAlgorithm;

impl Algorithm {
    /// Its name in lower case, as `FromStr` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Blake3 => "blake3",
        }
    }
}

impl FromStr for Algorithm {
    type Err = NotAnAlgorithm;

    fn from_str(text: &str) -> Result<Self, NotAnAlgorithm> {
        let all = [Self::Sha256, Self::Md5, Self::Sha1, Self::Blake3];
        all.into_iter().find(|a| a.name() == text).ok_or(NotAnAlgorithm)
    }
}

/// One state for each algorithm. The engine feeds them in logical order.
pub struct Digests(Mutex<Vec<(Algorithm, State)>>);

enum State {
    /// BLAKE3's own type: it is no `DynDigest`.
    Blake3(Box<blake3::Hasher>),
    Other(Box<dyn DynDigest + Send>),
}

impl std::fmt::Debug for Digests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Digests").finish_non_exhaustive()
    }
}

impl Digests {
    /// Starts all of these.
    pub fn new(algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        let state = |algorithm| match algorithm {
            Algorithm::Sha256 => State::Other(Box::new(sha2::Sha256::default())),
            Algorithm::Md5 => State::Other(Box::new(md5::Md5::default())),
            Algorithm::Sha1 => State::Other(Box::new(sha1::Sha1::default())),
            Algorithm::Blake3 => State::Blake3(Box::default()),
        };
        Self(Mutex::new(algorithms.into_iter().map(|a| (a, state(a))).collect()))
    }

    /// The bytes that follow. `runs` are those of `window` that are data, in order, as they lie in
    /// `bytes`, which begins where the window does; the others are zeros.
    pub(crate) fn update<'r>(
        &self,
        window: &Range<u64>,
        bytes: &[u8],
        runs: &(impl Iterator<Item = &'r Range<u64>> + Clone),
    ) {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, state) in states.iter_mut() {
            let mut at = window.start;
            for run in runs.clone() {
                state.zeros(run.start - at);
                let from = usize::try_from(run.start - window.start).unwrap_or(usize::MAX);
                let to = usize::try_from(run.end - window.start).unwrap_or(usize::MAX);
                state.update(&bytes[from..to]);
                at = run.end;
            }
            state.zeros(window.end - at);
        }
    }

    /// The digests, in hexadecimal.
    pub fn finish(self) -> Vec<(Algorithm, String)> {
        let states = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        states.into_iter().map(|(algorithm, state)| (algorithm, state.finish())).collect()
    }
}

impl State {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Blake3(hasher) => drop(hasher.update(bytes)),
            Self::Other(hasher) => hasher.update(bytes),
        }
    }

    fn zeros(&mut self, mut left: u64) {
        while left > 0 {
            let piece = usize::try_from(left).map_or(ZEROS.len(), |l| l.min(ZEROS.len()));
            self.update(&ZEROS[..piece]);
            left -= piece as u64;
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Blake3(hasher) => hasher.finalize().to_hex().to_string(),
            Self::Other(hasher) => {
                hasher.finalize().iter().fold(String::new(), |mut text, byte| {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "{byte:02x}");
                    text
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Algorithm, Digests};

    #[test]
    fn runs_and_the_zeros_between_them_are_one_stream() {
        let digests = Digests::new(["md5", "blake3"].map(|name| name.parse().unwrap()));
        digests.update(&(0..10), b"xxabcxxxxx", &[2..5, 6..6].iter());
        digests.update(&(10..13), b"def", &std::iter::once(&(10..13)));
        let found = digests.finish();
        // printf '\0\0abc\0\0\0\0\0def' | md5sum
        assert_eq!(found[0], (Algorithm::Md5, "1e4171f7e30f722bbe6e913805b2bc44".into()));
        let whole = blake3::hash(b"\0\0abc\0\0\0\0\0def").to_hex().to_string();
        assert_eq!(found[1], (Algorithm::Blake3, whole));
    }

    #[test]
    fn the_empty_stream_has_the_digests_everyone_knows() {
        let all = ["sha256", "md5", "sha1", "blake3"].map(|name| name.parse().unwrap());
        let found = Digests::new(all).finish();
        let text: Vec<&str> = found.iter().map(|(_, hex)| &hex[..8]).collect();
        assert_eq!(text, ["e3b0c442", "d41d8cd9", "da39a3ee", "af1349b9"]);
        assert!("crc32".parse::<Algorithm>().is_err());
    }
}
