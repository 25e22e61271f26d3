//! What formats look like when their own tools make them, compared with what blkid says of them.

use std::fs::File;
use std::path::Path;

use disk::signature::{Contents, Kind};
use libtest_mimic::Trial;
use snapfmt::PreadFile;

use crate::support::needs::{Need, trial};
use crate::support::scratch::{self, Scratch};
use crate::support::{MIB, Outcome, ensure, tool};

/// How an image is made, and what blkid calls it.
struct Format {
    kind: Kind,
    command: &'static [&'static str],
    blkid: &'static str,
}

const FORMATS: [Format; 6] = [
    Format {
        kind: Kind::Ext2,
        command: &["mke2fs", "-qF", "-t", "ext2", "-L", "a b"],
        blkid: "ext2",
    },
    Format {
        kind: Kind::Ext3,
        command: &["mke2fs", "-qF", "-t", "ext3", "-L", "a b"],
        blkid: "ext3",
    },
    Format {
        kind: Kind::Ext4,
        command: &["mke2fs", "-qF", "-t", "ext4", "-L", "a b"],
        blkid: "ext4",
    },
    Format { kind: Kind::Xfs, command: &["mkfs.xfs", "-q", "-L", "a-b"], blkid: "xfs" },
    Format { kind: Kind::Btrfs, command: &["mkfs.btrfs", "-q", "-L", "a b"], blkid: "btrfs" },
    Format { kind: Kind::Swap, command: &["mkswap", "-q", "-L", "a b"], blkid: "swap" },
];

pub(crate) fn trials() -> Vec<Trial> {
    let trials = FORMATS.into_iter().map(|format| {
        let needs = [Need::Tool(format.command[0]), Need::Tool("blkid")];
        trial(&format!("blkid_agrees_on_{}", format.blkid), &needs, move || agrees(&format))
    });
    trials.collect()
}

fn agrees(format: &Format) -> Outcome {
    let scratch = Scratch::new()?;
    let image = scratch.path("image");
    drop(scratch::new_sparse(&image, 320 * MIB)?);
    scratch::set_mode(&image, 0o600)?;
    let [program, arguments @ ..] = format.command else { return Err("no command".into()) };
    tool::run(program, arguments.iter().map(Path::new).chain([image.as_path()]))?;
    let contents = Contents::of(&PreadFile::new(File::open(&image)?, 320 * MIB));
    let [found] = contents.signatures() else { return Err(format!("{contents}").into()) };
    ensure!(found.kind == format.kind, "{found}");
    for (tag, value) in [
        ("TYPE", Some(format.blkid)),
        ("LABEL", found.label.as_deref()),
        ("UUID", found.uuid.as_deref()),
    ] {
        let arguments = ["-p", "-o", "value", "-s", tag].map(Path::new);
        let said = tool::run("blkid", arguments.into_iter().chain([image.as_path()]))?;
        ensure!(Some(said.trim_end()) == value, "{tag}: {value:?}, but blkid says {said:?}");
    }
    Ok(())
}
