//! The answers in a file. A file may have one, a list of them, or several after each other; a long one is read as a
//! stream.

use std::fmt;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::answer::{Answer, Page, TakeChecksum};
use super::entries::push;
use super::fields::{Item, fields};
use super::text::text;
use crate::backup::{Fault, FileFault};
use crate::limits::Limits;
use crate::token_guard::TokenGuard;
use crate::within::Roots;

/// Shorter documents are held, which is three times as fast: as most pages are, which have 10 000 blocks
/// at most (`MaxResults`).
const HELD: u64 = 4 << 20;

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
        let mut is_empty = true;
        while list.next_element_seed(Answers { found, limits, take, is_inner: true })?.is_some() {
            is_empty = false;
        }
        if is_empty {
            found.push(Answer::None("an empty list"));
        }
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
        if !self.is_inner {
            self.found.push(Answer::None("null"));
        }
        Ok(())
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
