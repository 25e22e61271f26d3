//! The keys of one JSON object → which answer it is. Answers have the keys that the API references name,
//! and where an answer is recognised any other key is damage; documents of other kinds may have any.

use serde::de::{Error, IgnoredAny, MapAccess};

use super::answer::{
    Answer, Descriptions, Kind, Listed, Page, SERVICE_ERROR, Snapshots, TakeChecksum,
};
use super::checksum::{BlockAnswer, Numbered};
use super::entries::{Blocks, changed};
use super::names::{decimal, is_snapshot};
use super::runs::Runs;
use crate::backup::Name;
use crate::limits::Limits;

/// What an object is.
pub(super) enum Item {
    Answer(Answer),
    /// An entry of a list of blocks, without what stands around it in an answer.
    Entry {
        kind: Kind,
        block: u32,
        listed: Listed,
    },
}

/// Keys of answers that do not matter: what lists have besides, and what SDKs add to any answer.
const OTHER_KEYS: [&str; 7] = [
    "ExpiryTime",
    "Progress",
    "BlockData",
    "ResponseMetadata",
    "ResultMetadata",
    "$metadata",
    "RequestId",
];

/// Keys that say in the place of an answer what went wrong, and those that stand beside them (AWS query and
/// JSON protocols, SDKs).
const ERROR_KEYS: [&str; 10] = [
    "__type",
    "message",
    "Message",
    "errorMessage",
    "Error",
    "Errors",
    "error",
    "errors",
    "Code",
    "code",
];
const BESIDE_ERRORS: [&str; 9] =
    ["Reason", "Type", "type", "name", "$fault", "requestId", "RequestID", "status", "statusCode"];

/// The fields that matter.
#[derive(Default)]
struct Fields {
    full: Option<Runs<Listed>>,
    changes: Option<Runs<Listed>>,
    volume_size: Option<u64>,
    block_size: Option<u64>,
    next: Option<String>,
    first: Option<String>,
    second: Option<String>,
    snapshots: Option<Descriptions>,
    numbered: Numbers,
    block: BlockAnswer,
    entry: Tokens,
    /// How many of the keys there are that stand beside the blocks in a list.
    beside: u32,
    /// The first key that no answer has.
    unknown: Option<String>,
    error: ErrorSaid,
}

/// Whether an object is a service's error.
#[derive(Default)]
struct ErrorSaid {
    is_any: bool,
    /// Whether the key is there that only errors have.
    is_typed: bool,
    /// Whether there are keys that errors do not have.
    is_else: bool,
}

impl ErrorSaid {
    fn take(&mut self, key: &str) {
        self.is_typed |= key == ERROR_KEYS[0];
        self.is_any |= ERROR_KEYS.contains(&key);
        self.is_else |= !ERROR_KEYS.contains(&key) && !BESIDE_ERRORS.contains(&key);
    }

    const fn is(&self) -> bool {
        self.is_typed || (self.is_any && !self.is_else)
    }
}

/// What stands behind numbers as keys.
#[derive(Default)]
struct Numbers {
    answers: u64,
    /// How many of them have a checksum: some are saved without.
    checksums: u64,
    /// The first that is an answer without a checksum, or no answer.
    incomplete: Option<u32>,
    other: Option<u32>,
}

/// The keys of an entry of a list.
#[derive(Default)]
struct Tokens {
    index: Option<u32>,
    block: Option<IgnoredAny>,
    first: Option<IgnoredAny>,
    second: Option<IgnoredAny>,
}

pub(super) fn fields<'de, A: MapAccess<'de>>(
    mut map: A,
    limits: &Limits,
    take: &mut TakeChecksum<'_>,
) -> Result<Item, A::Error> {
    let mut of = Fields::default();
    let mut is_empty = true;
    while let Some(key) = map.next_key::<String>()? {
        let fresh = match key.as_str() {
            "Blocks" => {
                let list = Blocks { kind: Kind::Full, limits };
                of.full.replace(map.next_value_seed(list)?).is_none()
            }
            "ChangedBlocks" => {
                let list = Blocks { kind: Kind::Changes, limits };
                of.changes.replace(map.next_value_seed(list)?).is_none()
            }
            "Snapshots" => of.snapshots.replace(map.next_value_seed(Snapshots(limits))?).is_none(),
            _ => of.scalar(&key, &mut map, take)?,
        };
        if !fresh {
            return Err(A::Error::custom(format_args!("key {key:?} stands twice")));
        }
        is_empty = false;
    }
    if is_empty {
        return Ok(Item::Answer(Answer::None("an object without anything in it")));
    }
    of.item()
}

impl Fields {
    /// Takes the value of a key; `false` when it stood before.
    fn scalar<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        map: &mut A,
        take: &mut TakeChecksum<'_>,
    ) -> Result<bool, A::Error> {
        if matches!(key, "VolumeSize" | "BlockSize" | "NextToken" | "ExpiryTime") {
            self.beside += 1;
        }
        Ok(match key {
            "VolumeSize" => set(&mut self.volume_size, map.next_value()?),
            "BlockSize" => set(&mut self.block_size, map.next_value()?),
            "NextToken" => set(&mut self.next, map.next_value()?),
            "FirstSnapshotId" => set(&mut self.first, map.next_value()?),
            "SecondSnapshotId" | "SnapshotId" => set(&mut self.second, map.next_value()?),
            "Checksum" | "ChecksumAlgorithm" | "DataLength" => self.block.take(key, map)?,
            "BlockIndex" => set(&mut self.entry.index, map.next_value()?),
            "BlockToken" => set(&mut self.entry.block, map.next_value()?),
            "FirstBlockToken" => set(&mut self.entry.first, map.next_value()?),
            "SecondBlockToken" => set(&mut self.entry.second, map.next_value()?),
            digits => {
                if let Some(block) = decimal::<u32>(digits) {
                    self.numbered.take(block, map.next_value()?, take)?;
                } else {
                    map.next_value::<IgnoredAny>()?;
                    if !OTHER_KEYS.contains(&digits) {
                        self.unknown.get_or_insert_with(|| digits.to_owned());
                        self.error.take(digits);
                    }
                }
                true
            }
        })
    }

    fn item<E: Error>(mut self) -> Result<Item, E> {
        let kinds = [
            self.full.is_some(),
            self.changes.is_some(),
            self.snapshots.is_some(),
            self.numbered.is_answer(),
            !self.block.is_empty(),
            self.entry.index.is_some(),
        ];
        match kinds.iter().filter(|is| **is).count() {
            0 => return self.nothing(),
            1 => {}
            _ => return Err(E::custom("two kinds of answer in one")),
        }
        if let Some(key) = &self.unknown {
            return Err(E::custom(format_args!("unknown key {key:?} in an answer of AWS")));
        }
        if self.entry.index.is_none() && self.entry.is_any() {
            return Err(E::custom("tokens of a block in an answer of another kind"));
        }
        if let Some(index) = self.entry.index {
            return self.entry.item(index);
        }
        if let Some(blocks) = self.full.take() {
            return self.page(Kind::Full, blocks);
        }
        if let Some(blocks) = self.changes.take() {
            return self.page(Kind::Changes, blocks);
        }
        let goes_on = self.goes_on();
        Ok(Item::Answer(match self.snapshots {
            Some((snapshots, bad)) => Answer::Descriptions { snapshots, bad, goes_on },
            None if self.block.is_empty() => Answer::Checksums(self.numbered.all()?),
            None => Answer::Block(self.block.checksum()?),
        }))
    }

    /// Something else, unless damage has made it so.
    fn nothing<E: Error>(self) -> Result<Item, E> {
        if self.error.is() {
            return Ok(Item::Answer(Answer::None(SERVICE_ERROR)));
        }
        // One of them may stand in any document, two of them stand beside blocks.
        let key = self.unknown.unwrap_or_default();
        if self.beside > 1 {
            let message = format_args!("neither Blocks nor ChangedBlocks, but the key {key:?}");
            return Err(E::custom(message));
        }
        if self.entry.is_any() {
            let message = format_args!("tokens of a block without BlockIndex, but the key {key:?}");
            return Err(E::custom(message));
        }
        Ok(Item::Answer(Answer::Other))
    }

    /// There is no more where the token is null or empty.
    fn goes_on(&self) -> bool {
        self.next.as_ref().is_some_and(|token| !token.is_empty())
    }

    fn page<E: Error>(self, kind: Kind, blocks: Runs<Listed>) -> Result<Item, E> {
        let goes_on = self.goes_on();
        let Self { volume_size, block_size, first, second, .. } = self;
        let (first, second) = (snapshot(first)?, snapshot(second)?);
        let is_bare = false;
        let page = Page { kind, blocks, volume_size, block_size, goes_on, is_bare, first, second };
        Ok(Item::Answer(Answer::Page(page)))
    }
}

impl Numbers {
    fn take<E: Error>(
        &mut self,
        block: u32,
        Numbered(answer): Numbered,
        take: &mut TakeChecksum<'_>,
    ) -> Result<(), E> {
        if answer.is_empty() {
            self.other.get_or_insert(block);
        } else if !answer.is_whole() {
            self.incomplete.get_or_insert(block);
        } else {
            if let Some(checksum) = answer.checksum()? {
                take(block, checksum);
                self.checksums += 1;
            }
            self.answers += 1;
        }
        Ok(())
    }

    /// Whether these are answers of get-snapshot-block; numbers may stand for anything else.
    const fn is_answer(&self) -> bool {
        self.answers > 0 || self.incomplete.is_some()
    }

    /// How many there are, if all are whole.
    fn all<E: Error>(&self) -> Result<u64, E> {
        match self.incomplete.or(self.other) {
            None => Ok(self.checksums),
            Some(block) => Err(E::custom(format_args!(
                "entry {block} is no whole answer of get-snapshot-block with a Checksum"
            ))),
        }
    }
}

impl Tokens {
    const fn is_any(&self) -> bool {
        self.block.is_some() || self.first.is_some() || self.second.is_some()
    }

    fn item<E: Error>(&self, block: u32) -> Result<Item, E> {
        let is_changes = self.first.is_some() || self.second.is_some();
        let (kind, listed) = match (self.block.is_some(), is_changes) {
            (true, false) => (Kind::Full, Listed::Stored),
            (false, true) => (Kind::Changes, changed(self.first.is_some(), self.second.is_some())?),
            _ => {
                let message = format_args!("entry of block {block}: its tokens are of no list");
                return Err(E::custom(message));
            }
        };
        Ok(Item::Entry { kind, block, listed })
    }
}

/// Sets a field; `false` when it was set before.
fn set<T>(field: &mut Option<T>, value: Option<T>) -> bool {
    let fresh = field.is_none();
    *field = value;
    fresh
}

fn snapshot<E: Error>(text: Option<String>) -> Result<Option<Name>, E> {
    match text {
        None => Ok(None),
        Some(text) if is_snapshot(&text) => Ok(Some(Name::from(text.as_str()))),
        Some(text) => Err(E::custom(format_args!("{text:?} is no snapshot's id"))),
    }
}
