//! Names to which a program or a user has added something.

use std::path::Path;

use crate::set::is_called_snapshot;

/// Ends that programs put behind a name when they pack, encrypt, keep or fetch a file.
const ADDED: [&str; 28] = [
    ".gz",
    ".tgz",
    ".zst",
    ".zstd",
    ".xz",
    ".bz2",
    ".lz4",
    ".lzma",
    ".lzo",
    ".br",
    ".z",
    ".zip",
    ".7z",
    ".rar",
    ".tar",
    ".gpg",
    ".pgp",
    ".age",
    ".enc",
    ".tmp",
    ".part",
    ".partial",
    ".crdownload",
    ".filepart",
    ".bak",
    ".old",
    ".orig",
    "~",
];

/// Ends of files that tell something of a snapshot file beside them.
const TELL_OF_OTHERS: [&str; 20] = [
    "md5", "sha1", "sha256", "sha512", "b3", "sum", "sig", "asc", "minisig", "ots", "par2", "txt",
    "json", "log", "md", "csv", "map", "toml", "yaml", "journal",
];

/// A name without what programs put behind it.
pub fn without_added(mut name: &str) -> &str {
    let shorter = |name: &str| {
        let lower = name.to_ascii_lowercase();
        let end = ADDED.iter().find(|end| lower.len() > end.len() && lower.ends_with(**end))?;
        Some(name.len() - end.len())
    };
    while let Some(len) = shorter(name) {
        name = name.get(..len).unwrap_or_default();
    }
    name
}

/// What a file is by a name that is like that of a snapshot file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Likeness {
    /// It is called like a snapshot file, or like one that was renamed or packed.
    Snapshot,
    /// It is called like one in another way, or beside the file that it was made of: nothing is expected in it.
    Doubtful,
    /// It has nothing to do with one, or tells of one.
    None,
}

impl Likeness {
    /// By the name of a file, and by what lies beside it.
    pub fn of(path: &Path) -> Self {
        if is_called_snapshot(path) {
            return Self::Snapshot;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let end = Path::new(&*name).extension().unwrap_or_default().to_ascii_lowercase();
        let is_like = name.to_ascii_lowercase().contains(".snap");
        // What this program leaves of a restore is hidden and has such an end.
        let is_left = name.starts_with('.') && (end == "partial" || end == "journal");
        if !is_like || is_left || TELL_OF_OTHERS.iter().any(|other| end == *other) {
            return Self::None;
        }
        let plain = without_added(&name);
        if plain != name
            && is_called_snapshot(Path::new(plain))
            && path.with_file_name(plain).is_file()
        {
            return Self::Doubtful;
        }
        let is_snapshot = |name: &str| {
            Path::new(name).extension().is_some_and(|end| end.eq_ignore_ascii_case("snap"))
        };
        match without_number(plain).map(without_added) {
            _ if is_snapshot(plain) => Self::Snapshot,
            Some(plain) if is_snapshot(plain) => Self::Snapshot,
            _ if name.to_ascii_lowercase().contains(".snap.") => Self::Doubtful,
            _ => Self::None,
        }
    }
}

/// A name without a number behind its last dot, as `.1` or `.~1~`.
fn without_number(name: &str) -> Option<&str> {
    let (plain, number) = name.rsplit_once('.')?;
    let digits = number.trim_matches('~');
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(plain)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Likeness, without_added};

    #[test]
    fn names_of_snapshot_files_are_known_again() {
        for (name, likeness) in [
            ("x.snap", Likeness::Snapshot),
            ("x.SNAP", Likeness::Snapshot),
            ("x.snap.gz", Likeness::Snapshot),
            ("x.snap.tar.ZST", Likeness::Snapshot),
            ("x.snap.1", Likeness::Snapshot),
            ("x.snap.20261130.xz", Likeness::Snapshot),
            ("x.snap.bak", Likeness::Snapshot),
            ("x.snap~", Likeness::Snapshot),
            ("x.snap.~2~", Likeness::Snapshot),
            (".x.snap.part", Likeness::Snapshot),
            ("x.snap.img", Likeness::Doubtful),
            ("x.snap.md5", Likeness::None),
            ("x.snap.par2", Likeness::None),
            ("x.snap.json", Likeness::None),
            (".x.snap.partial", Likeness::None),
            (".x.snap.journal", Likeness::None),
            ("x.snapshots", Likeness::None),
            ("x.gz", Likeness::None),
        ] {
            assert_eq!(Likeness::of(Path::new(name)), likeness, "{name}");
        }
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("x.snap"), "").unwrap();
        let packed = directory.path().join("x.snap.gz");
        assert_eq!(Likeness::of(&packed), Likeness::Doubtful);
        assert_eq!((without_added("é.gz"), without_added(".gz")), ("é", ".gz"));
    }
}
