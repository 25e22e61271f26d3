//! What get-snapshot-block answers besides a block's bytes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::BLOCK_SIZE;
use super::names::decimal;

/// Keys that may stand beside these: what SDKs add, and where the bytes were put.
const BESIDE: [&str; 6] =
    ["BlockData", "Progress", "ResponseMetadata", "ResultMetadata", "$metadata", "RequestId"];

/// SHA-256 of a block.
pub(super) type Sha256 = [u8; 32];

/// An answer of get-snapshot-block.
#[derive(Default)]
pub(super) struct BlockAnswer {
    checksum: Option<String>,
    /// Whether it has the key, whatever stands behind it.
    names_checksum: bool,
    algorithm: Option<String>,
    length: Option<u64>,
    /// A key that no such answer has.
    unknown: Option<String>,
}

/// A length: the AWS CLI documents it as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Length {
    Number(u64),
    Text(String),
}

impl BlockAnswer {
    /// Takes the value of a key of it; `false` when it stood before.
    pub(super) fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        map: &mut A,
    ) -> Result<bool, A::Error> {
        Ok(match key {
            "Checksum" => {
                self.checksum = map.next_value()?;
                !std::mem::replace(&mut self.names_checksum, true)
            }
            "ChecksumAlgorithm" => self.algorithm.replace(map.next_value()?).is_none(),
            "DataLength" => {
                let length = match map.next_value::<Length>()? {
                    Length::Number(length) => Some(length),
                    Length::Text(text) => decimal(&text),
                };
                let bad = || A::Error::custom("DataLength is no number of bytes");
                self.length.replace(length.ok_or_else(bad)?).is_none()
            }
            other => {
                map.next_value::<IgnoredAny>()?;
                if !BESIDE.contains(&other) {
                    self.unknown.get_or_insert_with(|| other.to_owned());
                }
                true
            }
        })
    }

    /// Whether it has no key of such an answer.
    pub(super) const fn is_empty(&self) -> bool {
        !self.names_checksum && self.algorithm.is_none() && self.length.is_none()
    }

    /// Whether it has all that matters, and nothing that is not known.
    pub(super) const fn is_whole(&self) -> bool {
        self.names_checksum && self.unknown.is_none()
    }

    /// The checksum, if it has one.
    pub(super) fn checksum<E: Error>(&self) -> Result<Option<Sha256>, E> {
        if let Some(length) = self.length.filter(|length| *length != BLOCK_SIZE) {
            return Err(E::custom(format_args!("a block of {length} bytes, not {BLOCK_SIZE}")));
        }
        if let Some(other) = self.algorithm.as_ref().filter(|a| *a != "SHA256") {
            return Err(E::custom(format_args!("a checksum by {other:?}, not SHA256")));
        }
        if !self.names_checksum {
            return Err(E::custom("there is no Checksum"));
        }
        let Some(text) = &self.checksum else { return Ok(None) };
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        let bad = || E::custom(format_args!("{text:?} is no SHA-256 in base64"));
        bytes.map(Some).ok_or_else(bad)
    }
}

/// What stands behind a number: an answer of get-snapshot-block or, in documents of another kind,
/// anything.
pub(super) struct Numbered(pub BlockAnswer);

impl<'de> Deserialize<'de> for Numbered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OfNumber).map(Self)
    }
}

struct OfNumber;

impl<'de> Visitor<'de> for OfNumber {
    type Value = BlockAnswer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BlockAnswer, A::Error> {
        let mut answer = BlockAnswer::default();
        while let Some(key) = map.next_key::<String>()? {
            if !answer.take(&key, &mut map)? {
                return Err(A::Error::custom(format_args!("key {key:?} stands twice")));
            }
        }
        Ok(answer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<BlockAnswer, A::Error> {
        IgnoredAny.visit_seq(list).map(|_| BlockAnswer::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<BlockAnswer, E> {
        Ok(BlockAnswer::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<BlockAnswer, E> {
        Ok(BlockAnswer::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<BlockAnswer, E> {
        Ok(BlockAnswer::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<BlockAnswer, E> {
        Ok(BlockAnswer::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<BlockAnswer, E> {
        Ok(BlockAnswer::default())
    }

    fn visit_unit<E>(self) -> Result<BlockAnswer, E> {
        Ok(BlockAnswer::default())
    }
}
