//! `docs/FORMAT.md` says what the code does: its constants, byte maps and worked examples.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use snapfmt::state::StateBuilder;
use snapfmt::{
    ChunkSize, Digest, FOOTER_BYTES, Geometry, HEADER_LEN, Limits, MAX_WINDOW_LOG, PER_PAGE,
    PROJECT_MAGIC, RECORD_BYTES, SKIPPABLE_MAGIC, SetContentId, VERSION, zero_frame,
};

use support::forge::{COLUMNS, Forge, RECORD, SEGMENTS};
use support::golden::{directory, files};
use support::{MemberSpec, Part, Piece, SetSpec, open};

const PAGE: &str = include_str!("../../../docs/FORMAT.md");

/// The cells of a table row, without the code marks.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_matches('|');
    inner.split('|').map(|cell| cell.trim().replace('`', "")).collect()
}

/// The rows of the table that starts with this header line.
fn table(header: &str) -> Vec<Vec<String>> {
    let (_, rest) = PAGE.split_once(&format!("\n{header}\n")).unwrap_or_else(|| panic!("{header}"));
    rest.lines().skip(1).take_while(|line| line.starts_with('|')).map(cells).collect()
}

/// The lines of an example.
fn example(name: &str) -> Vec<&'static str> {
    let start = format!("```example: {name}\n");
    let (_, rest) = PAGE.split_once(&start).unwrap_or_else(|| panic!("{name}"));
    rest.lines().take_while(|line| *line != "```").collect()
}

/// The last word of the example's line that starts like this.
fn value(example: &[&'static str], start: &str) -> &'static str {
    let line =
        example.iter().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}"));
    line.rsplit(' ').next().unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.chars().filter(|c| !c.is_whitespace()).collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

fn compact() -> Vec<u8> {
    std::fs::read(directory().join("dsnap-compact-vol-d.snap")).unwrap()
}

#[test]
fn constants_are_those_of_the_code() {
    let magic: Vec<_> = PROJECT_MAGIC.iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = [
        ("SKIPPABLE_MAGIC", format!("{SKIPPABLE_MAGIC:#010X}").replace("0X", "0x")),
        ("PROJECT_MAGIC", format!("{} (\"SNAPRST\", 1)", magic.join(" "))),
        ("HEADER_LEN", HEADER_LEN.to_string()),
        ("RECORD_BYTES", RECORD_BYTES.to_string()),
        ("FOOTER_BYTES", FOOTER_BYTES.to_string()),
        ("PER_PAGE", PER_PAGE.to_string()),
        ("SEGMENTS_PER_PAGE", entries_in_a_full_page(SEGMENTS, 32).to_string()),
        ("COLUMNS_PER_PAGE", entries_in_a_full_page(COLUMNS, 16).to_string()),
        ("MAX_WINDOW_LOG", MAX_WINDOW_LOG.to_string()),
        ("zero_frame::MAX_PLAIN", zero_frame::MAX_PLAIN.to_string()),
        ("ChunkSize::MIN", ChunkSize::MIN.bytes().to_string()),
        ("ChunkSize::MAX", ChunkSize::MAX.bytes().to_string()),
        ("VERSION", VERSION.to_string()),
    ];
    let expected = expected.map(|(name, value)| vec![name.to_owned(), value]);
    assert_eq!(table("| constant | value |"), expected);
    assert_eq!(*b"SNAPRST\x01", PROJECT_MAGIC);
}

fn entries_in_a_full_page(kind: u16, entry: usize) -> usize {
    let layout = (0..5000).map(|n| Part::Linear(512, (0, n * 512))).collect();
    let member = MemberSpec::compact("v", vec![Piece::Zero(5000 * 512)]);
    let written = SetSpec { layout, ..SetSpec::single(4096, member) }.write_one();
    Forge::of(&written.bytes).frame(kind, 0).payload.len() / entry
}

#[test]
fn limits_are_those_of_the_code() {
    let Limits { manifest_bytes, members, logical_size, segments, columns, .. } = Limits::DEFAULT;
    let Limits { shortest_stripe, .. } = Limits::DEFAULT;
    let Limits { chunks, chunk_size, chain, footers, .. } = Limits::DEFAULT;
    let expected = [
        ("manifest_bytes", manifest_bytes.into()),
        ("members", members.into()),
        ("logical_size", logical_size),
        ("segments", segments.into()),
        ("columns", columns.into()),
        ("shortest_stripe", shortest_stripe.into()),
        ("chunks", chunks.into()),
        ("chunk_size", chunk_size.into()),
        ("chain", chain.into()),
        ("footers", u64::from(footers)),
    ];
    let found = table("| limit | value | of what |");
    assert_eq!(found.len(), expected.len());
    for (row, (name, value)) in found.iter().zip(expected) {
        assert_eq!(row[..2], [name.to_owned(), value.to_string()]);
    }
    for chunk_size in [4096, 1 << 20, 16 << 20] {
        assert_eq!(Limits::stored_bytes(chunk_size), chunk_size + chunk_size / 256 + 1024);
    }
}

#[test]
fn byte_maps_leave_no_byte_out() {
    let lengths = [
        ("header", HEADER_LEN as u64),
        ("extent map root", 16),
        ("segment", 32),
        ("column", 16),
        ("record", RECORD_BYTES.into()),
        ("index root", 40),
        ("entry", 64),
        ("footer", FOOTER_BYTES - HEADER_LEN as u64),
    ];
    for (name, length) in lengths {
        let rows = table(&format!("| offset | length | {name} |"));
        let mut at = 0;
        for row in rows {
            assert_eq!(row[0].parse::<u64>().unwrap(), at, "{name}: {row:?}");
            at += row[1].parse::<u64>().unwrap();
        }
        assert_eq!(at, length, "{name}");
    }
}

#[test]
fn kinds_are_those_of_the_files() {
    let kinds = table("| kind | name |");
    let name = |kind: u16| {
        let row = kinds.iter().find(|row| row[0] == kind.to_string()).unwrap();
        row[1].clone()
    };
    let mut names: Vec<_> = Forge::of(&compact()).frames.iter().map(|f| name(f.kind)).collect();
    names.dedup();
    let map = ["extent map root", "segment page", "column page"];
    let mut expected = vec!["manifest"];
    expected.extend(map);
    expected.extend(["record header", "index page", "directory page", "index root", "manifest"]);
    expected.extend(map);
    expected.extend(["seal", "footer"]);
    assert_eq!(names, expected);
    assert_eq!(kinds.len(), 10);
}

#[test]
fn record_and_segment_kinds_are_those_of_the_files() {
    let names = |header| -> Vec<_> {
        table(header).into_iter().map(|row| format!("{} {}", row[0], row[1])).collect()
    };
    assert_eq!(names("| kind | name | chunks | frame |"), ["1 data", "2 zero", "3 hole"]);
    let mut file = Forge::of(&compact());
    // Data, zeros, a reference, a hole.
    let record = |file: &mut Forge, n| file.frame(RECORD, n).payload.clone();
    let kinds = [0, 1, 2, 3].map(|n| record(&mut file, n)[8]);
    assert_eq!(kinds, [1, 2, 1, 3]);
    assert_eq!([0, 1, 2, 3].map(|n| record(&mut file, n)[9]), [1, 0, 1, 0], "codec");
    assert_eq!([0, 1, 2, 3].map(|n| record(&mut file, n)[10]), [0, 0, 1, 0], "reference");

    let header = "| kind | name | columns | where byte `x` of the segment is |";
    assert_eq!(names(header), ["0 unmapped", "1 linear", "2 striped"]);
    let mut full = Forge::of(&files()[0].written.bytes);
    let segments = full.frame(SEGMENTS, 0).payload.clone();
    assert_eq!([segments[28], segments[60], segments[92]], [2, 1, 0]);
}

#[test]
fn the_header_and_manifest_shown_are_those_of_the_file() {
    let file = compact();
    assert_eq!(bytes(&example("header").concat()), file[..64]);
    let manifest = example("manifest").join("\n") + "\n";
    assert_eq!(manifest.as_bytes(), &file[64..64 + manifest.len()]);
    assert!(PAGE.contains(&format!("{} bytes long:", manifest.len())));
    assert!(PAGE.contains(&format!("head -c {} |", manifest.len())));
}

#[test]
fn every_manifest_field_is_described() {
    let rows = table("| member | type | rule |");
    let named: Vec<_> =
        rows.iter().map(|row| row[0].rsplit('.').next().unwrap().to_owned()).collect();
    for line in example("manifest").iter().filter(|line| line.contains("\":")) {
        let field = line.split('"').nth(1).unwrap();
        let group = ["format", "extent_map"].contains(&field);
        assert!(group || named.iter().any(|name| name == field), "{field}");
    }
}

#[test]
fn the_zero_frames_shown_are_canonical() {
    for len in [4096, 200_000] {
        let mut frame = Vec::new();
        zero_frame::encode(len, &mut frame);
        assert_eq!(bytes(&example(&format!("zero frame of {len}")).concat()), frame);
        assert_eq!(frame.len() as u64, 18 + 4 * len.div_ceil(131_072));
        assert_eq!(zero_frame::encoded_len(len), frame.len() as u64);
    }
}

fn key(row: &str) -> [u8; 32] {
    let rows = table("| key | ASCII text, 32 bytes |");
    let row = rows.iter().find(|cells| cells[0] == row).unwrap();
    row[1].as_bytes().try_into().unwrap()
}

fn keyed(name: &str, parts: &[&[u8]]) -> String {
    blake3::keyed_hash(&key(name), &parts.concat()).to_hex().to_string()
}

#[test]
fn the_state_id_shown_is_right() {
    let shown = example("state id");
    let chunks = [vec![b'a'; 4096], vec![0; 4096], vec![b'b'; 808]];
    let leaves = chunks.map(|chunk| blake3::hash(&chunk));
    for (n, leaf) in leaves.iter().enumerate() {
        assert_eq!(value(&shown, &format!("leaf {n}")), leaf.to_hex().as_str());
    }
    let pair = keyed("node key", &[leaves[0].as_bytes(), leaves[1].as_bytes()]);
    assert_eq!(value(&shown, "node 0-1"), pair);
    let root = keyed("node key", &[&bytes(&pair), leaves[2].as_bytes()]);
    assert_eq!(value(&shown, "root"), root);
    let sizes = [9000_u64.to_le_bytes(), 4096_u64.to_le_bytes()].concat();
    let id = keyed("state key", &[&sizes, &bytes(&root)]);
    assert_eq!(value(&shown, "state id"), id);

    let geometry = Geometry::new(9000, ChunkSize::MIN, 3).unwrap();
    let mut state = StateBuilder::new(geometry);
    state.push(Digest::from_bytes(*leaves[0].as_bytes()));
    state.push_zeros(1);
    state.push(Digest::from_bytes(*leaves[2].as_bytes()));
    assert_eq!(state.finish().unwrap().to_string(), id);
}

#[test]
fn the_snapshot_id_shown_is_right() {
    let shown = example("snapshot id");
    let file = compact();
    let frames = Forge::of(&file);
    let payload = |kind: u16| &frames.frames.iter().find(|f| f.kind == kind).unwrap().payload;
    let manifest = blake3::hash(payload(support::forge::MANIFEST));
    let map = blake3::hash(payload(support::forge::MAP_ROOT));
    let root = payload(support::forge::INDEX_ROOT);
    let mut columns = root[8..40].to_vec();
    for entry in root[40..].chunks(64) {
        columns.extend_from_slice(&entry[..12]);
        columns.extend_from_slice(&entry[32..]);
    }
    let of_columns = blake3::hash(&columns);
    assert_eq!(value(&shown, "BLAKE3 of the manifest"), manifest.to_hex().as_str());
    assert_eq!(value(&shown, "BLAKE3 of the extent map root"), map.to_hex().as_str());
    assert_eq!(bytes(value(&shown, "logical columns")), columns);
    assert_eq!(value(&shown, "BLAKE3 of those"), of_columns.to_hex().as_str());
    let id = keyed("snapshot key", &[manifest.as_bytes(), map.as_bytes(), of_columns.as_bytes()]);
    assert_eq!(value(&shown, "snapshot id"), id);
    assert_eq!(value(&shown, "set content id"), keyed("set key", &[&bytes(&id)]));

    let footer = *open(&file).unwrap().footer();
    assert_eq!(footer.snapshot.to_string(), id);
    assert_eq!(footer.set_content, SetContentId::of(&[footer.snapshot]));
    assert_eq!(footer.set_content.to_string(), value(&shown, "set content id"));
}

#[test]
fn links_within_the_page_lead_somewhere() {
    let headings: Vec<_> = PAGE.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let anchor = |heading: &str| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || *c == ' ').collect::<String>();
        kept.to_lowercase().replace(' ', "-")
    };
    let anchors: Vec<_> = headings.iter().map(|heading| anchor(heading)).collect();
    let links = PAGE.match_indices("](#").map(|(at, _)| PAGE[at + 3..].split(')').next().unwrap());
    let links: Vec<_> = links.collect();
    assert_eq!(links.len(), headings.len());
    assert!(links.iter().all(|link| anchors.iter().any(|anchor| anchor == link)), "{links:?}");
}
