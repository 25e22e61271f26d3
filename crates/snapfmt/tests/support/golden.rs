//! What is in `testdata/golden`: three small sets whose files cover every structure of the format.

use std::path::PathBuf;

use snapfmt::StateId;

use super::{MemberSpec, Part, Piece, SetSpec, Written, noise, state_of, text};

const KIB: u64 = 1 << 10;
const CHUNK: usize = 4096;

/// One golden file.
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) written: Written,
    /// The member's raw image.
    pub(crate) plain: Vec<u8>,
}

/// The directory of the golden files.
pub(crate) fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden")
}

/// The three sets: a full pair, its child, and one in compact form.
pub(crate) fn sets() -> [SetSpec; 3] {
    let full = full();
    let states: Vec<_> = full.members.iter().map(|m| state_of(&m.plain(), 4096)).collect();
    let child = child(&full, &states);
    [full, child, compact()]
}

/// All golden files, made anew.
pub(crate) fn files() -> Vec<Golden> {
    let mut files = Vec::new();
    for set in sets() {
        for (member, written) in set.members.iter().zip(set.write()) {
            let name = format!("{}-{}.snap", set.id, member.volume);
            files.push(Golden { name, written, plain: member.plain() });
        }
    }
    files
}

/// The lines of `expected.txt`: name, snapshot id, state id, BLAKE3 of the file.
pub(crate) fn expected(files: &[Golden]) -> String {
    let mut lines = vec!["# file, snapshot id, state id, BLAKE3 of the file".to_owned()];
    for file in files {
        let footer = &file.written.footer;
        let digest = snapfmt::Digest::of(&file.written.bytes);
        let line = [file.name.clone(), footer.snapshot.to_string(), footer.state.to_string()];
        lines.push(format!("{} {digest}", line.join(" ")));
    }
    lines.join("\n") + "\n"
}

/// Two members striped at 8 KiB, then a linear tail on one and a gap.
fn full() -> SetSpec {
    let a = vec![
        Piece::Data(text(1, 3 * CHUNK)),
        Piece::Zero(16 * KIB),
        Piece::Hole(16 * KIB),
        Piece::Data(noise(2, CHUNK)),
        Piece::Data(text(3, 1234)),
    ];
    let b = vec![Piece::Zero(8 * KIB), Piece::Data(text(4, 5 * CHUNK)), Piece::Zero(20 * KIB)];
    SetSpec {
        id: "dsnap-full".into(),
        generation: 0,
        chunk_size: 4096,
        level: 3,
        tags: [("Managed-By".to_owned(), "snaprestore".to_owned())].into(),
        members: vec![MemberSpec::full("vol-a", a), MemberSpec::full("vol-b", b)],
        layout: vec![
            Part::Striped(96 * KIB, 8 << 10, vec![(0, 0), (1, 0)]),
            Part::Linear(1234, (0, 48 * KIB)),
            Part::Unmapped(10_000),
        ],
    }
}

/// Changes `vol-a`, lets `vol-b` shrink and adds `vol-c`, which is full.
fn child(full: &SetSpec, states: &[StateId]) -> SetSpec {
    let a = full.members[0].plain();
    let a = vec![
        Piece::Inherit(a[..CHUNK].to_vec()),
        Piece::Data(text(11, CHUNK)),
        Piece::Zero(4 * KIB),
        Piece::InheritZeros(16 * KIB),
        Piece::Data(text(11, CHUNK)),
        Piece::Hole(12 * KIB),
        Piece::Inherit(a[11 * CHUNK..].to_vec()),
    ];
    let b = full.members[1].plain();
    let b = vec![Piece::Inherit(b[..6 * CHUNK].to_vec()), Piece::Data(text(12, 2000))];
    let c = vec![Piece::Data(text(13, CHUNK)), Piece::Zero(4 * KIB)];
    SetSpec {
        id: "dsnap-child".into(),
        generation: 1,
        members: vec![
            MemberSpec::child("vol-a", a, "dsnap-full", states[0]),
            MemberSpec::child("vol-b", b, "dsnap-full", states[1]),
            MemberSpec::full("vol-c", c),
        ],
        layout: vec![
            Part::Striped(48 * KIB, 8 << 10, vec![(0, 0), (1, 0)]),
            Part::Unmapped(1000),
            Part::Linear(8 * KIB, (2, 0)),
        ],
        ..full.clone()
    }
}

/// Compact and deduplicated: zero runs without frames, a chunk stored once and named twice.
fn compact() -> SetSpec {
    let pieces = vec![
        Piece::Data(text(21, CHUNK)),
        Piece::Zero(3 << 20),
        Piece::Data(text(21, CHUNK)),
        Piece::Hole(1 << 20),
        Piece::Data(noise(22, 777)),
    ];
    let member = MemberSpec::compact("vol-d", pieces);
    SetSpec { id: "dsnap-compact".into(), ..SetSpec::single(4096, member) }
}
