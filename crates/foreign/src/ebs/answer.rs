//! Answers of the EBS direct APIs and of EC2, as the AWS CLI and SDKs print them, recognised by what
//! they hold. A file may have one, a list of them, or several after each other; a long one is read as a
//! stream.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::block_count;
use super::checksum::{BlockAnswer, Numbered, Sha256};
use super::describe::Described;
use super::names::{decimal, is_snapshot};
use super::runs::Runs;
use crate::backup::{Fault, FileFault, Name};
use crate::limits::Limits;
use crate::token_guard::TokenGuard;

/// Shorter documents are held, which is three times as fast: as most pages are, which have 10 000 blocks
/// at most (`MaxResults`).
const HELD: u64 = 4 << 20;

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
        /// Whether another page follows.
        goes_on: bool,
    },
    /// Of get-snapshot-block, by block number, as a home-made list; how many have a checksum.
    Checksums(u64),
    /// Of get-snapshot-block, for one block.
    Block(Option<Sha256>),
    /// Of something else.
    Other,
}

/// Takes each checksum of a list of answers of get-snapshot-block.
pub(super) type TakeChecksum<'t> = dyn FnMut(u32, Sha256) + 't;

/// The answers in a file.
pub(super) fn open(
    path: &Path,
    limits: &Limits,
    take: &mut TakeChecksum<'_>,
) -> Result<Vec<Answer>, FileFault> {
    let mut read = || {
        let file = File::open(path)?;
        let found = file.metadata()?.len();
        if found > limits.document_bytes {
            return Err(Fault::TooLong { found, max: limits.document_bytes });
        }
        if found >= HELD {
            return Ok(streamed(file.take(limits.document_bytes), limits, take)?);
        }
        let mut text = Vec::with_capacity(usize::try_from(found).unwrap_or(0));
        file.take(HELD).read_to_end(&mut text)?;
        Ok(held(&text, limits, take)?)
    };
    read().map_err(|fault| FileFault::new(path, fault))
}

/// The answers in a text.
pub(super) fn held(
    text: &[u8],
    limits: &Limits,
    take: &mut TakeChecksum<'_>,
) -> Result<Vec<Answer>, serde_json::Error> {
    all(serde_json::Deserializer::from_slice(text), limits, take)
}

/// The same, with no more of the text held than its longest piece.
pub(super) fn streamed(
    text: impl Read,
    limits: &Limits,
    take: &mut TakeChecksum<'_>,
) -> Result<Vec<Answer>, serde_json::Error> {
    let text = BufReader::with_capacity(1 << 16, text);
    let guarded = BufReader::new(TokenGuard::new(text, limits.token_bytes));
    all(serde_json::Deserializer::from_reader(guarded), limits, take)
}

fn all<'de, R: serde_json::de::Read<'de>>(
    mut json: serde_json::Deserializer<R>,
    limits: &Limits,
    take: &mut TakeChecksum<'_>,
) -> Result<Vec<Answer>, serde_json::Error> {
    let mut answers = Vec::new();
    loop {
        Answers { found: &mut answers, limits, take, is_inner: false }.deserialize(&mut json)?;
        match json.end() {
            Err(more) if more.is_syntax() => {}
            ended => return ended.map(|()| answers),
        }
    }
}

/// Puts an answer, or each of a list of them, behind those found before.
struct Answers<'a, 't> {
    found: &'a mut Vec<Answer>,
    limits: &'a Limits,
    take: &'a mut TakeChecksum<'t>,
    /// Whether this is one of a list already.
    is_inner: bool,
}

impl<'de> DeserializeSeed<'de> for Answers<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Answers<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer of AWS")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.is_inner {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let Self { found, limits, take, .. } = self;
        while list.next_element_seed(Answers { found, limits, take, is_inner: true })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let answer = fields(map, self.limits, self.take)?;
        // What is not known is not kept: there may be very many of them.
        if answer != Answer::Other {
            if self.found.len() >= self.limits.documents as usize {
                return Err(A::Error::custom("more answers than are read"));
            }
            self.found.push(answer);
        }
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The fields of an answer that matter.
#[derive(Default)]
struct Fields {
    full: Option<Runs<Listed>>,
    changes: Option<Runs<Listed>>,
    volume_size: Option<u64>,
    block_size: Option<u64>,
    goes_on: Option<bool>,
    first: Option<Name>,
    second: Option<Name>,
    snapshots: Option<Vec<Described>>,
    checksums: Option<u64>,
    block: BlockAnswer,
}

fn fields<'de, A: MapAccess<'de>>(
    mut map: A,
    limits: &Limits,
    take: &mut TakeChecksum<'_>,
) -> Result<Answer, A::Error> {
    let mut of = Fields::default();
    while let Some(key) = map.next_key::<String>()? {
        let twice = || A::Error::custom(format_args!("key {key:?} stands twice"));
        let fresh = match key.as_str() {
            "Blocks" => {
                of.full.replace(map.next_value_seed(Blocks { kind: Kind::Full, limits })?).is_none()
            }
            "ChangedBlocks" => {
                let list = Blocks { kind: Kind::Changes, limits };
                of.changes.replace(map.next_value_seed(list)?).is_none()
            }
            "Snapshots" => of.snapshots.replace(map.next_value_seed(Snapshots(limits))?).is_none(),
            "VolumeSize" => set(&mut of.volume_size, map.next_value()?),
            "BlockSize" => set(&mut of.block_size, map.next_value()?),
            "NextToken" => of.goes_on.replace(goes_on(map.next_value()?)).is_none(),
            "FirstSnapshotId" => set(&mut of.first, snapshot(map.next_value()?)),
            "SecondSnapshotId" | "SnapshotId" => set(&mut of.second, snapshot(map.next_value()?)),
            "Checksum" => set(&mut of.block.checksum, map.next_value()?),
            "ChecksumAlgorithm" => set(&mut of.block.checksum_algorithm, map.next_value()?),
            "DataLength" => set(&mut of.block.data_length, map.next_value()?),
            digits => match decimal::<u32>(digits) {
                Some(block) => {
                    let Numbered(answer) = map.next_value()?;
                    if let Some(checksum) = answer.checksum()? {
                        take(block, checksum);
                        *of.checksums.get_or_insert(0) += 1;
                    }
                    true
                }
                None => map.next_value::<IgnoredAny>().map(|_| true)?,
            },
        };
        if !fresh {
            return Err(twice());
        }
    }
    of.answer()
}

impl Fields {
    fn answer<E: Error>(self) -> Result<Answer, E> {
        let Self { full, changes, volume_size, block_size, first, second, .. } = self;
        let goes_on = self.goes_on.unwrap_or(false);
        let page = |kind, blocks| {
            Answer::Page(Page { kind, blocks, volume_size, block_size, goes_on, first, second })
        };
        Ok(match (full, changes, self.snapshots, self.checksums) {
            (Some(blocks), None, None, None) => page(Kind::Full, blocks),
            (None, Some(blocks), None, None) => page(Kind::Changes, blocks),
            (None, None, Some(snapshots), None) => Answer::Descriptions { snapshots, goes_on },
            (None, None, None, Some(count)) => Answer::Checksums(count),
            (None, None, None, None) if self.block.data_length.is_some() => {
                Answer::Block(self.block.checksum()?)
            }
            (None, None, None, None) => Answer::Other,
            _ => return Err(E::custom("two kinds of answer in one")),
        })
    }
}

/// Sets a field; `false` when it was set before.
fn set<T>(field: &mut Option<T>, value: Option<T>) -> bool {
    let fresh = field.is_none();
    *field = value;
    fresh
}

/// There is no more where the token is null or empty.
fn goes_on(token: Option<String>) -> bool {
    token.is_some_and(|token| !token.is_empty())
}

fn snapshot(text: Option<String>) -> Option<Name> {
    text.filter(|text| is_snapshot(text)).map(|text| Name::from(text.as_str()))
}

/// The entries of a list of blocks.
struct Blocks<'l> {
    kind: Kind,
    limits: &'l Limits,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    block_index: u32,
    #[serde(default)]
    second_block_token: Option<IgnoredAny>,
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
        let most = block_count(self.limits.volume_size);
        let mut blocks = Runs::default();
        while let Some(entry) = list.next_element::<Entry>()? {
            let block = entry.block_index;
            if u64::from(block) >= most {
                return Err(A::Error::custom(format_args!("block {block} is beyond any volume")));
            }
            let gone = self.kind == Kind::Changes && entry.second_block_token.is_none();
            if !blocks.push(block, if gone { Listed::Gone } else { Listed::Stored }) {
                let message = format_args!("block {block} stands twice, or behind a later one");
                return Err(A::Error::custom(message));
            }
        }
        // There may be very many pages.
        blocks.shrink_to_fit();
        Ok(blocks)
    }
}

/// The entries of describe-snapshots.
struct Snapshots<'l>(&'l Limits);

impl<'de> DeserializeSeed<'de> for Snapshots<'_> {
    type Value = Vec<Described>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Snapshots<'_> {
    type Value = Vec<Described>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of snapshots")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut snapshots = Vec::new();
        while let Some(described) = list.next_element()? {
            if snapshots.len() >= self.0.snapshots as usize {
                return Err(A::Error::custom("more snapshots than are read"));
            }
            snapshots.push(described);
        }
        Ok(snapshots)
    }
}

#[cfg(test)]
mod tests {
    use super::{held, streamed};
    use crate::limits::Limits;

    #[test]
    fn a_text_says_the_same_held_and_streamed() {
        let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/ebs-direct/datafy-pairs");
        let sum = "B4VNL+8pega6gWheZgwzLeNtXRjVRpJ9MNqtbX/aFUE=";
        let mut texts = vec![
            format!(r#"[{{"7": {{"Checksum": "{sum}"}}, "8": "text"}}, 1] {{"Blocks": []}}"#),
            r#"{"Blocks": [{"BlockIndex": 1}, {"BlockIndex": 1}]}"#.to_owned(),
            r#"{"Blocks": ["#.to_owned(),
            String::new(),
        ];
        for entry in std::fs::read_dir(sample).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "json") {
                texts.push(std::fs::read_to_string(path).unwrap());
            }
        }
        assert!(texts.len() > 8);
        let limits = Limits::DEFAULT;
        for text in texts {
            let (mut one, mut other): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
            let whole = held(text.as_bytes(), &limits, &mut |n, sum| one.push((n, sum)));
            let piece = streamed(text.as_bytes(), &limits, &mut |n, sum| other.push((n, sum)));
            assert_eq!(whole.ok(), piece.ok(), "{text}");
            assert_eq!(one, other);
        }
    }
}
