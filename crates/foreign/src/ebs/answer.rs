//! Answers of the EBS direct APIs and of EC2, as the AWS CLI and SDKs print them, recognised by what
//! they hold.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use super::checksum::Sha256;
use super::describe::{Described, Entry};
use super::runs::Runs;
use crate::backup::Name;
use crate::limits::Limits;

/// What a list of blocks is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// All blocks of a snapshot: `Blocks`.
    Full,
    /// Those that differ from another snapshot: `ChangedBlocks`.
    Changes,
}

/// What a list says of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listed {
    /// The snapshot has it.
    Stored,
    /// It had it before: the second token is absent. It reads as zeros.
    Gone,
}

/// One page of a list of blocks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// What it is a list of.
    pub kind: Kind,
    pub(super) blocks: Runs<Listed>,
    /// In GiB.
    pub volume_size: Option<u64>,
    /// In bytes.
    pub block_size: Option<u64>,
    /// Whether another page follows.
    pub goes_on: bool,
    /// Whether it is the entries alone, as `--query Blocks` prints them.
    pub(super) is_bare: bool,
    /// The snapshots it is of, where someone has written that down with the answer.
    pub first: Option<Name>,
    /// The one whose blocks these are.
    pub second: Option<Name>,
}

/// One answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Of list-snapshot-blocks or list-changed-blocks.
    Page(Page),
    /// Of describe-snapshots.
    Descriptions {
        /// The snapshots.
        snapshots: Vec<Described>,
        /// What is wrong with entries that cannot be used, the first of them: their place, and why.
        bad: Vec<(usize, String)>,
        /// Whether another page follows.
        goes_on: bool,
    },
    /// Of get-snapshot-block, by block number, as a home-made list; how many have a checksum.
    Checksums(u64),
    /// Of get-snapshot-block, for one block.
    Block(Option<Sha256>),
    /// None: a service's error, or nothing at all, which is said here.
    None(&'static str),
    /// Of something else.
    Other,
}

/// What a document has where a service failed.
pub(super) const SERVICE_ERROR: &str = "a service's error";

/// Snapshots as they are described, and what is wrong with other entries.
pub(super) type Descriptions = (Vec<Described>, Vec<(usize, String)>);

/// Takes each checksum of a list of answers of get-snapshot-block.
pub(super) type TakeChecksum<'t> = dyn FnMut(u32, Sha256) + 't;

impl Page {
    /// One of entries alone.
    pub(super) fn bare(kind: Kind) -> Self {
        Self {
            kind,
            blocks: Runs::default(),
            volume_size: None,
            block_size: None,
            goes_on: false,
            is_bare: true,
            first: None,
            second: None,
        }
    }
}

/// How many bad entries of a document are named.
const MAX_BAD: usize = 100;

/// The entries of describe-snapshots, and those that cannot be used.
pub(super) struct Snapshots<'l>(pub &'l Limits);

impl<'de> DeserializeSeed<'de> for Snapshots<'_> {
    type Value = Descriptions;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Snapshots<'_> {
    type Value = Descriptions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of snapshots")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let (mut snapshots, mut bad, mut place) = (Vec::new(), Vec::new(), 0);
        while let Some(Entry(described)) = list.next_element()? {
            if place >= self.0.snapshots as usize {
                return Err(A::Error::custom("more snapshots than are read"));
            }
            match described {
                Ok(described) => snapshots.push(described),
                Err(why) if bad.len() < MAX_BAD => bad.push((place, why)),
                Err(_) => {}
            }
            place += 1;
        }
        Ok((snapshots, bad))
    }
}
