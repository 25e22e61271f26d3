//! Answers of the EBS direct APIs and of EC2, as the AWS CLI and SDKs print them, recognised by what
//! they hold. A file may have one, a list of them, or several after each other; a long one is read as a
//! stream.

use std::fmt;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::checksum::Sha256;
use super::describe::{Described, Entry};
use super::entries::push;
use super::fields::{Item, fields};
use super::runs::Runs;
use super::text::text;
use crate::backup::{Fault, FileFault, Name};
use crate::limits::Limits;
use crate::token_guard::TokenGuard;
use crate::within::Roots;

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
    /// Of something else.
    Other,
}

/// Snapshots as they are described, and what is wrong with other entries.
pub(super) type Descriptions = (Vec<Described>, Vec<(usize, String)>);

/// Takes each checksum of a list of answers of get-snapshot-block.
pub(super) type TakeChecksum<'t> = dyn FnMut(u32, Sha256) + 't;

/// The answers in a file.
pub(super) fn open(
    roots: &Roots,
    path: &Path,
    limits: &Limits,
    take: &mut TakeChecksum<'_>,
) -> Result<Vec<Answer>, FileFault> {
    let mut read = || {
        let (file, found) = roots.open(path)?;
        if found > limits.document_bytes {
            return Err(Fault::TooLong { found, max: limits.document_bytes });
        }
        let text = text(file)?;
        if found >= HELD {
            return Ok(streamed(text.take(limits.document_bytes), limits, take)?);
        }
        let mut held = Vec::with_capacity(usize::try_from(found).unwrap_or(0));
        text.take(HELD).read_to_end(&mut held)?;
        Ok(self::held(&held, limits, take)?)
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
        let answer = match fields(map, self.limits, self.take)? {
            // What is not known is not kept: there may be very many of them.
            Item::Answer(Answer::Other) => return Ok(()),
            Item::Answer(answer) => answer,
            Item::Entry { kind, block, listed } => {
                if let Some(Answer::Page(page)) = self.found.last_mut()
                    && page.is_bare
                    && page.kind == kind
                {
                    return push(&mut page.blocks, block, listed, self.limits);
                }
                let mut page = Page::bare(kind);
                push::<A::Error>(&mut page.blocks, block, listed, self.limits)?;
                Answer::Page(page)
            }
        };
        if self.found.len() >= self.limits.documents as usize {
            return Err(A::Error::custom("more answers than are read"));
        }
        self.found.push(answer);
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

impl Page {
    /// One of entries alone.
    fn bare(kind: Kind) -> Self {
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
            format!(r#"[{{"7": {{"Checksum": "{sum}"}}}}, 1] {{"Blocks": []}}"#),
            r#"[{"BlockIndex": 1, "BlockToken": "a"}, {"BlockIndex": 2, "BlockToken": "b"}]"#
                .into(),
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
