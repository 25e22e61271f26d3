//! What the names of directories and files say: snapshots, block numbers, pages.

use std::path::Path;

use restore::renamed::without_added;

use crate::backup::Name;

/// `snap-` and hexadecimal digits, 8 in old ids and 17 in those since 2016.
const DIGITS: std::ops::RangeInclusive<usize> = 8..=40;

/// Whether a text is a snapshot's id.
pub(super) fn is_snapshot(text: &str) -> bool {
    text.strip_prefix("snap-").is_some_and(|rest| {
        DIGITS.contains(&rest.len())
            && rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

/// The snapshot ids that stand in a text, in their order.
pub(super) fn snapshots_in(text: &str) -> Vec<Name> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    // A prefix such as `gen0-` belongs to the word.
    let id = |word: &str| {
        let at = word.match_indices("snap-").map(|(at, _)| at);
        let starts = |at: &usize| *at == 0 || word.as_bytes().get(at - 1) == Some(&b'-');
        let ids = at.filter(starts).filter_map(|at| {
            let digits = word.get(at + 5..)?.split('-').next()?;
            let id = word.get(at..at + 5 + digits.len())?;
            is_snapshot(id).then(|| Name::from(id))
        });
        ids.collect::<Vec<_>>()
    };
    words.flat_map(id).collect()
}

/// How the block files of a directory are called: the number, between these.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Form {
    prefix: &'static str,
    suffix: &'static str,
    /// How many digits the number has at least.
    width: u8,
    /// Whether the file is in `blocks/` below the directory.
    is_below: bool,
}

/// The directory that block files are kept in below that of their snapshot.
pub const BLOCKS: &str = "blocks";
const PREFIXES: [&str; 3] = ["", "block-", "block_"];
/// The first is what block files are mostly called by; the others only count in a directory of a dump.
const SUFFIXES: [&str; 7] = [".bin", ".raw", ".img", ".dat", ".blk", ".block", ""];

impl Form {
    /// The form and number of a block file's name, if it is one.
    pub(super) fn of(name: &str, is_below: bool) -> Option<(Self, u32)> {
        let mut suffixes = SUFFIXES.into_iter();
        let (suffix, stem) = suffixes.find_map(|end| Some((end, name.strip_suffix(end)?)))?;
        let parse = |prefix: &'static str| {
            let digits = stem.strip_prefix(prefix)?;
            let number: u32 = decimal(digits)?;
            let natural = number.checked_ilog10().unwrap_or(0) as usize + 1;
            let width = if digits.len() == natural { 0 } else { digits.len() };
            let width = u8::try_from(width).ok()?;
            Some((Self { prefix, suffix, width, is_below }, number))
        };
        PREFIXES.into_iter().find_map(parse)
    }

    /// Whether files that are called so are hardly anything but blocks.
    pub(super) fn is_plain(self) -> bool {
        self.suffix == SUFFIXES[0]
    }

    /// Whether something stands behind the number.
    pub(super) const fn has_end(self) -> bool {
        !self.suffix.is_empty()
    }

    /// Whether the names of both are the same up to what follows the number.
    pub(super) fn is_called_like(self, other: Self) -> bool {
        let stem = |form: Self| (form.prefix, form.width, form.is_below);
        stem(self) == stem(other)
    }

    /// The path of a block's file below its snapshot's directory.
    pub(super) fn path(self, directory: &Path, number: u32) -> std::path::PathBuf {
        let Self { prefix, suffix, width, is_below } = self;
        let name = format!("{prefix}{number:0width$}{suffix}", width = usize::from(width));
        if is_below { directory.join(BLOCKS).join(name) } else { directory.join(name) }
    }
}

/// Digits and nothing else: no sign, no more than fit.
pub(super) fn decimal<T: std::str::FromStr>(digits: &str) -> Option<T> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// A document's name without what stands behind its last dot, unless that is a number.
fn stem(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, end)) if decimal::<u32>(end).is_none() => stem,
        _ => name,
    }
}

/// What a document's name has before its last number, that number, and how many digits it has.
pub(super) fn page_number(name: &str) -> (&str, Option<(u32, usize)>) {
    let stem = stem(name);
    let kept = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = stem.get(kept.len()..).unwrap_or_default();
    // The digits of an id are no page's number.
    if kept.ends_with(|c: char| c.is_ascii_alphabetic()) && !snapshots_in(stem).is_empty() {
        return (stem, None);
    }
    match decimal(digits) {
        Some(number) => (kept, Some((number, digits.len()))),
        None => (stem, None),
    }
}

/// The name of another page of the same row.
pub(super) fn other_page(name: &str, number: u32, digits: usize) -> String {
    let (kept, _) = page_number(name);
    let end = name.get(stem(name).len()..).unwrap_or_default();
    format!("{kept}{number:0digits$}{end}")
}

/// What documents are called, if by what they hold.
const TELLING: [&str; 6] = [
    "list-snapshot-blocks",
    "list-changed-blocks",
    "listsnapshotblocks",
    "listchangedblocks",
    "describe-snapshots",
    "get-snapshot-block",
];

/// Whether a file's name says that it belongs to a dump.
pub(super) fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TELLING.iter().any(|word| name.contains(word)) || !snapshots_in(&name).is_empty()
}

/// Ends and words of names of files that tell of others and hold no blocks and no list.
const TELL_OF_OTHERS: [&str; 10] =
    [".md5", ".sha1", ".sha256", ".sha512", ".sig", ".asc", ".minisig", ".par2", ".log", ".sum"];
const PROOFS: [&str; 3] = ["get-snapshot-block", "checksum", "digest"];
/// Words of the names of lists, and of what they lie in.
const LISTS: [&str; 3] = ["list", "page", "blocks"];

/// What a file of a dump is by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// This block.
    Block(u32),
    /// A document.
    Document,
}

impl Part {
    /// What a file is that cannot be used: its name may have something added. With `is_own`, the
    /// directory is that of one snapshot, and the name need not say that it is a list.
    pub(super) fn of(name: &str, is_below: bool, is_own: bool) -> Option<Self> {
        let name = without_added(name).to_ascii_lowercase();
        let is_word_of = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if TELL_OF_OTHERS.iter().any(|end| name.ends_with(end)) || is_called_proof(&name) {
            return None;
        }
        if let Some((_, number)) = Form::of(&name, is_below) {
            return Some(Self::Block(number));
        }
        let is_document =
            is_word_of(&TELLING) || (is_own && (is_document(&name) || is_word_of(&LISTS)));
        is_document.then_some(Self::Document)
    }
}

/// The ends of names of documents.
const DOCUMENTS: [&str; 3] = [".json", ".jsonl", ".ndjson"];

pub(super) fn is_document(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    DOCUMENTS.iter().any(|end| name.ends_with(end))
}

/// Whether a document has the name of an answer that lies beside a block's file.
pub(super) fn is_beside(name: &str, is_below: bool) -> bool {
    let stem = without_added(name).strip_suffix(".json");
    stem.is_some_and(|stem| {
        Form::of(stem, is_below).or_else(|| Form::of(&format!("{stem}.bin"), is_below)).is_some()
    })
}

/// Whether a document's name says that it has checksums, without which blocks can be read.
pub(super) fn is_called_proof(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    PROOFS.iter().any(|word| name.contains(word))
}

/// Whether a document's name says that it is a list of blocks.
pub(super) fn is_called_list(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TELLING.iter().take(4).any(|word| name.contains(word))
        && !TELL_OF_OTHERS.iter().any(|end| name.ends_with(end))
}

/// Whether a key is one of the `known` ones with one byte changed: what damage makes of it.
pub(super) fn is_garbled(key: &str, known: &[&str]) -> bool {
    let differ = |other: &str| key.bytes().zip(other.bytes()).filter(|(a, b)| a != b).count();
    known.iter().any(|other| key.len() == other.len() && differ(other) == 1)
}

#[cfg(test)]
mod tests {
    use super::{Form, Part, is_garbled, other_page, page_number, snapshots_in};
    use std::path::Path;

    fn ids(text: &str) -> Vec<String> {
        snapshots_in(text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn snapshots_are_found_in_names() {
        let (a, b) = ("snap-72c89b87fef997e87", "snap-90a5b666e55ef4506");
        assert_eq!(ids(&format!("list-changed-blocks.{a}..{b}.json")), [a, b]);
        assert_eq!(ids(&format!("awscli-{a}")), [a]);
        assert_eq!(ids(&format!("gen0-{a}")), [a]);
        assert_eq!(ids(&format!("{a}.8")), [a]);
        assert_eq!(ids(&format!("{a}-{b}")), [a, b]);
        assert_eq!(ids(&format!("{a}_{b}")), [a, b]);
        for none in ["dsnap-00000000000abc000", "snap-12", "snap-xyz45678", "snapshot-12345678", ""]
        {
            assert_eq!(ids(none), [""; 0], "{none}");
        }
    }

    #[test]
    fn a_block_files_name_is_found_again() {
        for (name, number) in [
            ("00000012.bin", 12),
            ("block-0.bin", 0),
            ("block-15.bin", 15),
            ("00000000.bin", 0),
            ("123456789.bin", 123_456_789),
            ("block_0007.bin", 7),
            ("block_5", 5),
            ("0009.raw", 9),
            ("7", 7),
        ] {
            let (form, found) = Form::of(name, false).unwrap();
            assert_eq!(found, number);
            assert_eq!(form.path(Path::new("d"), number), Path::new("d").join(name));
        }
        let far = "4294967296.bin";
        for none in
            ["block-15.bin.json", "-1.bin", "+1.bin", "1.BIN", ".bin", far, "1_0.bin", "x1.bin", ""]
        {
            assert!(Form::of(none, false).is_none(), "{none}");
        }
    }

    #[test]
    fn pages_have_numbers() {
        assert_eq!(page_number("list.0001.json"), ("list.", Some((1, 4))));
        assert_eq!(
            page_number("list-snapshot-blocks.1.json"),
            ("list-snapshot-blocks.", Some((1, 1)))
        );
        assert_eq!(page_number("blocks.json"), ("blocks", None));
        let id = "list.snap-72c89b87fef997e87.json";
        assert_eq!(page_number(id), ("list.snap-72c89b87fef997e87", None));
        assert_eq!(page_number("7.json"), ("", Some((7, 1))));
        assert_eq!(page_number("list.0001"), ("list.", Some((1, 4))));
        assert_eq!(other_page("list.0001.jsonl", 12, 4), "list.0012.jsonl");
        assert_eq!(other_page("list.1", 12, 1), "list.12");
    }

    #[test]
    fn what_was_added_to_a_name_does_not_hide_the_part() {
        for (name, part) in [
            ("00000007.bin.gz", Some(Part::Block(7))),
            ("7.tmp", Some(Part::Block(7))),
            ("block_7.zst~", Some(Part::Block(7))),
            ("lb.json.gz", Some(Part::Document)),
            ("PAGES.TAR.GZ", Some(Part::Document)),
            ("blocks", Some(Part::Document)),
            ("list.json.md5", None),
            ("get-snapshot-block.json.gz", None),
            ("README.gz", None),
            ("dump.log.xz", None),
        ] {
            assert_eq!(Part::of(name, false, true), part, "{name}");
        }
        let far = |name| Part::of(name, false, false);
        assert_eq!(far("settings.json.gz"), None);
        assert_eq!(far("list-snapshot-blocks.2.json.gz"), Some(Part::Document));
    }

    #[test]
    fn a_key_with_one_byte_changed() {
        let known = ["State", "Tags"];
        for (key, is) in [("Statd", true), ("Uags", true), ("State", false), ("Sta", false)] {
            assert_eq!(is_garbled(key, &known), is, "{key}");
        }
        assert!(!is_garbled("OutpostArn", &known));
    }
}
