//! What get-snapshot-block answers besides a block's bytes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::BLOCK_SIZE;

/// SHA-256 of a block.
pub(super) type Sha256 = [u8; 32];

/// An answer of get-snapshot-block.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BlockAnswer {
    #[serde(default)]
    pub checksum: Option<String>,
    #[serde(default)]
    pub checksum_algorithm: Option<String>,
    #[serde(default)]
    pub data_length: Option<u64>,
}

impl BlockAnswer {
    /// The checksum, if it has one.
    pub(super) fn checksum<E: Error>(&self) -> Result<Option<Sha256>, E> {
        if let Some(length) = self.data_length.filter(|length| *length != BLOCK_SIZE) {
            return Err(E::custom(format_args!("a block of {length} bytes, not {BLOCK_SIZE}")));
        }
        if let Some(other) = self.checksum_algorithm.as_ref().filter(|a| *a != "SHA256") {
            return Err(E::custom(format_args!("a checksum by {other:?}, not SHA256")));
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

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BlockAnswer, A::Error> {
        BlockAnswer::deserialize(MapAccessDeserializer::new(map))
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
