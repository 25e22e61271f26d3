//! The entries of a list of blocks. A key that is not known where all keys are is no addition but damage:
//! with one bit flipped in `SecondBlockToken` a block that is there would count as gone.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

use super::answer::{Kind, Listed};
use super::block_count;
use super::runs::Runs;
use crate::limits::Limits;

/// The entries of a list.
pub(super) struct Blocks<'l> {
    pub kind: Kind,
    pub limits: &'l Limits,
}

/// One of `Blocks`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Held {
    block_index: u32,
    #[serde(default, rename = "BlockToken")]
    _token: Option<IgnoredAny>,
}

/// One of `ChangedBlocks`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Changed {
    block_index: u32,
    #[serde(default)]
    first_block_token: Option<IgnoredAny>,
    #[serde(default)]
    second_block_token: Option<IgnoredAny>,
}

/// What the tokens of an entry of a list of changes say. One with neither says nothing.
pub(super) fn changed<E: Error>(has_first: bool, has_second: bool) -> Result<Listed, E> {
    match (has_first, has_second) {
        (_, true) => Ok(Listed::Stored),
        (true, false) => Ok(Listed::Gone),
        (false, false) => Err(E::custom("neither FirstBlockToken nor SecondBlockToken")),
    }
}

/// Puts a block behind those of a list.
pub(super) fn push<E: Error>(
    blocks: &mut Runs<Listed>,
    block: u32,
    listed: Listed,
    limits: &Limits,
) -> Result<(), E> {
    if u64::from(block) >= block_count(limits.volume_size) {
        return Err(E::custom(format_args!("block {block} is beyond any volume")));
    }
    if !blocks.push(block, listed) {
        let message = format_args!("block {block} stands twice, or behind a later one");
        return Err(E::custom(message));
    }
    Ok(())
}

impl Blocks<'_> {
    fn next<'de, A: SeqAccess<'de>>(
        &self,
        list: &mut A,
    ) -> Result<Option<(u32, Listed)>, A::Error> {
        match self.kind {
            Kind::Full => {
                let entry = list.next_element::<Held>()?;
                Ok(entry.map(|entry| (entry.block_index, Listed::Stored)))
            }
            Kind::Changes => {
                let Some(entry) = list.next_element::<Changed>()? else { return Ok(None) };
                let Changed { block_index, first_block_token: first, second_block_token } = entry;
                let listed = changed(first.is_some(), second_block_token.is_some())?;
                Ok(Some((block_index, listed)))
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Blocks<'_> {
    type Value = Runs<Listed>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Blocks<'_> {
    type Value = Runs<Listed>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of blocks")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut blocks = Runs::default();
        let mut number = 0_u64;
        let key = match self.kind {
            Kind::Full => "Blocks",
            Kind::Changes => "ChangedBlocks",
        };
        let at = |number, e| A::Error::custom(format_args!("entry {number} of {key}: {e}"));
        while let Some((block, listed)) = self.next(&mut list).map_err(|e| at(number, e))? {
            push::<A::Error>(&mut blocks, block, listed, self.limits).map_err(|e| at(number, e))?;
            number += 1;
        }
        // There may be very many pages.
        blocks.shrink_to_fit();
        Ok(blocks)
    }
}
