//! Metadata made to do harm: loops, overflows and bombs end in a refusal, soon and in little memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use disk::lvm2::{FoundPv, Mapper, Section, TextFault, Unreadable, VolumeGroup, groups};
use disk::md::{FoundMember, Refused, Superblock, arrays};
use disk::pieces::{Budget, MAX_PIECES, Pieces, PiecesError, Spot};
use restore::snapfmt::ReadAt;
use snaprestore::stack::{Choice, DeviceNo, Problem, Stack};
use support::forge::{Forged, disk};
use support::{Bytes, disks, member};

fn parsed(text: &str) -> Result<VolumeGroup, TextFault> {
    Section::parse(text.as_bytes()).and_then(|root| VolumeGroup::of(&root))
}

const ID: &str = "FeJZrH-RlCw-KvgE-B3Jn-TMif-qciJ-QPS7CU";

/// A group with these logical volumes, on one physical volume of a hundred extents.
fn group(volumes: &str) -> String {
    format!(
        "contents = \"Text Format Volume Group\"\nversion = 1\nvg {{\nid = \"{ID}\"\nseqno = 1\n\
         extent_size = 8\nphysical_volumes {{ pv0 {{ id = \"{ID}\" pe_start = 8 pe_count = 100 }} }}\n\
         logical_volumes {{ {volumes} }}\n}}\n"
    )
}

fn volume(name: &str, on: &str, extents: u64) -> String {
    format!(
        "{name} {{ id = \"{ID}\" status = [\"VISIBLE\"] segment_count = 1 segment1 {{ \
         start_extent = 0 extent_count = {extents} type = \"striped\" stripe_count = 1 \
         stripes = [\"{on}\", 0] }} }}\n"
    )
}

/// What comes of mapping a volume of a group.
fn mapped(volumes: &str, name: &str) -> Result<Arc<Pieces>, Unreadable> {
    let sound = disks("lvm2/linear-3pv", "gen1").remove(0).1;
    let mut found = FoundPv::read(0, &*sound).unwrap().unwrap();
    found.copies[0].group = parsed(&group(volumes)).unwrap();
    let groups = groups(&[found]);
    Mapper::new(&groups[0], |_| Arc::clone(&sound) as Arc<dyn ReadAt>).map(name)
}

#[test]
fn texts_that_are_too_deep_or_too_long() {
    let deep = format!("{}{}", "a { ".repeat(100_000), "}".repeat(100_000));
    let list = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in [deep, list] {
        let refused = Section::parse(text.as_bytes()).unwrap_err();
        assert!(matches!(refused, TextFault::TooMuch { what: "levels", .. }), "{refused}");
    }
    let long = format!("a = [{}]", "1,".repeat(1 << 21));
    let refused = Section::parse(long.as_bytes()).unwrap_err();
    assert!(matches!(refused, TextFault::TooMuch { what: "values", .. }), "{refused}");
    for text in
        ["a", "a =", "a = \"", "a { ", "}", "a = [1", "a = 99999999999999999999", "a = 1 a = 2"]
    {
        Section::parse(text.as_bytes()).unwrap_err();
    }
}

#[test]
fn volumes_that_lie_on_themselves() {
    let ring = [volume("a", "b", 4), volume("b", "c", 4), volume("c", "a", 4)].concat();
    let refused = mapped(&ring, "a").unwrap_err();
    assert!(matches!(refused, Unreadable::Nested { .. }), "{refused}");
    let own = mapped(&volume("a", "a", 4), "a").unwrap_err();
    assert!(matches!(own, Unreadable::Nested { .. }), "{own}");
}

/// A mirror may do without a leg that cannot be read, but not try each of them again and again.
#[test]
fn legs_that_multiply() {
    let lost = "v0 { id = \"ID\" segment_count = 1 segment1 { start_extent = 0 extent_count = 1 \
                type = \"error\" } }\n";
    let level = |level: u32| {
        let legs = vec![format!("\"v{}\"", level - 1); 100].join(", ");
        format!(
            "v{level} {{ id = \"{ID}\" segment_count = 1 segment1 {{ start_extent = 0 \
             extent_count = 1 type = \"raid1\" raids = [{legs}] }} }}\n"
        )
    };
    let all = lost.replace("ID", ID) + &(1..8).map(level).collect::<String>();
    let refused = mapped(&all, "v7").unwrap_err();
    assert!(matches!(refused, Unreadable::Kind { ref lv, .. } if lv == "v0"), "{refused}");
}

/// Every segment is a whole row of very many stripes.
#[test]
fn columns_that_multiply() {
    let stripes = vec!["\"pv0\", 0"; 1 << 12].join(", ");
    let wide = format!(
        "wide {{ id = \"{ID}\" segment_count = 1 segment1 {{ start_extent = 0 extent_count = 4096 \
         type = \"striped\" stripe_count = 4096 stripe_size = 8 stripes = [{stripes}] }} }}\n"
    );
    let segment = |n: u32| {
        format!(
            "segment{} {{ start_extent = {} extent_count = 4096 type = \"striped\" \
             stripe_count = 1 stripes = [\"wide\", 0] }}\n",
            n + 1,
            n * 4096
        )
    };
    let segments = (0..1 << 12).map(segment).collect::<Vec<_>>().concat();
    let all = format!("{wide} all {{ id = \"{ID}\" segment_count = 4096 {segments} }}\n");
    let refused = mapped(&all, "all").unwrap_err();
    assert!(matches!(refused, Unreadable::Pieces { .. }), "{refused}");
}

/// Stripes over nothing are nothing, however many there are.
#[test]
fn stripes_over_zeros() {
    let zero = |name: &str| {
        format!(
            "{name} {{ id = \"{ID}\" segment_count = 1 segment1 {{ start_extent = 0 \
             extent_count = 1125899906842624 type = \"zero\" }} }}\n"
        )
    };
    let top = format!(
        "top {{ id = \"{ID}\" segment_count = 1 segment1 {{ start_extent = 0 \
         extent_count = 1000000000000000 type = \"striped\" stripe_count = 2 stripe_size = 8 \
         stripes = [\"a\", 0, \"b\", 0] }} }}\n"
    );
    let pieces = mapped(&[zero("a"), zero("b"), top].concat(), "top").unwrap();
    assert_eq!((pieces.list().len(), pieces.size()), (1, 4_096_000_000_000_000_000));
}

/// Each level names the one below a hundred times: a naive walk would take 100^7 steps.
#[test]
fn volumes_that_multiply() {
    let mut all = volume("v0", "pv0", 1);
    for level in 1..8 {
        let segment = |n: u32| {
            format!(
                "segment{} {{ start_extent = {n} extent_count = 1 type = \"striped\" \
                 stripe_count = 1 stripes = [\"v{}\", 0] }}\n",
                n + 1,
                level - 1
            )
        };
        let segments = (0..100).map(segment).collect::<Vec<_>>().concat();
        let text = format!("v{level} {{ id = \"{ID}\" segment_count = 100 {segments} }}\n");
        all.push_str(&text);
    }
    let pieces = mapped(&all, "v7").unwrap();
    assert_eq!(pieces.size(), 100 * 4096);
    // They all are the same bytes, which no layout has twice.
    pieces.map(&[0], &[1 << 30]).unwrap_err();
}

#[test]
fn sizes_beyond_all_numbers() {
    for (from, to) in [
        ("extent_size = 8", "extent_size = 9223372036854775807"),
        ("extent_size = 8", "extent_size = 0"),
        ("pe_count = 100", "pe_count = 9223372036854775807"),
        ("pe_start = 8", "pe_start = 9223372036854775807"),
        ("extent_count = 4", "extent_count = 9223372036854775807"),
        ("extent_count = 4", "extent_count = 101"),
        ("extent_count = 4", "extent_count = 0"),
        ("start_extent = 0", "start_extent = 1"),
        ("stripe_count = 1", "stripe_count = 0"),
        ("stripe_count = 1", "stripe_count = 3"),
        ("segment_count = 1", "segment_count = 2"),
        ("[\"pv0\", 0]", "[\"pv0\", -1]"),
        ("[\"pv0\", 0]", "[\"nobody\", 0]"),
    ] {
        let text = group(&volume("a", "pv0", 4));
        assert!(text.contains(from));
        parsed(&text.replace(from, to)).unwrap_err();
    }
    let mut pieces = Pieces::new();
    let spots = [Spot { device: 0, offset: 0 }, Spot { device: 1, offset: 0 }];
    pieces.push_striped(1, &spots, u64::MAX - 1).unwrap();
    assert_eq!(pieces.push_zeros(2), Err(PiecesError::Size));
}

/// Stripes of one sector over stripes of another size would be a piece for each sector.
#[test]
fn stripes_over_stripes_without_end() {
    let mut low = Pieces::new();
    let spots = [Spot { device: 0, offset: 0 }, Spot { device: 1, offset: 0 }];
    low.push_striped(1536, &spots, 1 << 50).unwrap();
    let mut top = Pieces::new();
    top.push_striped(512, &spots, 1 << 50).unwrap();
    let refused = top.over(&[low.clone(), low]).unwrap_err();
    assert_eq!(refused, PiecesError::TooMany { max: MAX_PIECES });
}

#[test]
fn superblocks_that_claim_too_much() {
    let sound = Forged::RAID0.member(0, 1, &vec![0; 1 << 20]);
    for (at, value) in [(92, u32::MAX), (92, 0), (220, u32::MAX), (160, u32::MAX), (140, 256)] {
        let mut bytes = (*sound).clone();
        bytes[4096 + at..4096 + at + 4].copy_from_slice(&value.to_le_bytes());
        // With a checksum that is right, as far as there can be one.
        bytes[4096 + 216..4096 + 220].fill(0);
        let sum: u64 = bytes[4096..4096 + 260]
            .chunks_exact(4)
            .map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap())))
            .sum();
        let sum = (sum & 0xffff_ffff) + (sum >> 32);
        bytes[4096 + 216..4096 + 220].copy_from_slice(&sum.to_le_bytes()[..4]);
        Superblock::read(&bytes).unwrap_err();
    }
    // More of each member than there is.
    for level in [1, 10] {
        let forged = Forged { level, layout: 0x102, ..Forged::RAID0 };
        let disk = forged.member(0, 1, &vec![0; 1 << 20]);
        let mut superblock = Superblock::read(&*disk).unwrap().unwrap();
        superblock.used = 2 << 20;
        let array = arrays(&[FoundMember { device: 0, superblock }]).remove(0);
        let beyond = PiecesError::Beyond { end: 2 << 20, size: 1 << 20 };
        assert_eq!(array.pieces(&mut Budget::default()), Err(Refused::Pieces(beyond)));
    }
    // An array of chunks that are no whole sectors, or of none.
    for chunk in [0, 1, 511] {
        let mut superblock = Superblock::read(&*sound).unwrap().unwrap();
        (superblock.chunk, superblock.raid_disks) = (chunk, 1);
        let array = arrays(&[FoundMember { device: 0, superblock }]).remove(0);
        assert_eq!(array.pieces(&mut Budget::default()), Err(Refused::Chunk(chunk)));
    }
}

/// Where copies do not divide the members each chunk is a piece. They are counted before the first is made, and
/// all arrays share what there can be.
#[test]
fn chunks_that_are_pieces() {
    let forged = Forged { level: 10, layout: 0x102, chunk: 4096, disks: 3, ..Forged::RAID0 };
    let disk = forged.member(0, 1, &vec![0; 1 << 20]);
    let array = |rows: u64| {
        let mut superblock = Superblock::read(&*disk).unwrap().unwrap();
        (superblock.used, superblock.data_size) = (rows * 4096, rows * 4096);
        arrays(&[FoundMember { device: 0, superblock }]).remove(0)
    };
    let mut budget = Budget::default();
    for rows in [1 << 21, 1 << 40] {
        let refused = array(rows).pieces(&mut budget).unwrap_err();
        assert!(matches!(refused, Refused::Pieces(PiecesError::Spent { .. })), "{refused}");
    }
    // Nothing was spent on those.
    let million = array(699_040);
    for _ in 0..2 {
        assert!(million.pieces(&mut budget).unwrap().list().len() > 600_000);
    }
    million.pieces(&mut budget).unwrap();
    assert!(million.pieces(&mut budget).is_err());
    // One in whole rows needs next to nothing.
    arrays(&[FoundMember { device: 0, superblock: Superblock::read(&*disk).unwrap().unwrap() }])
        .remove(0)
        .pieces(&mut Budget::default())
        .unwrap();
}

/// Arrays of very many members of which one is there.
#[test]
fn members_that_are_missing() {
    let forged = Forged { disks: 1900, chunk: 4096, ..Forged::RAID0 };
    let disks: Vec<Bytes> = (0..12)
        .map(|n| Forged { uuid: [n; 16], ..forged }.member(0, 1, &vec![0; 1 << 16]))
        .collect();
    let members = disks.iter().enumerate().map(|(n, disk)| member(&format!("m{n}"), disk));
    let stack = Stack::of_members(members.collect()).unwrap();
    assert_eq!(stack.arrays().len(), disks.len());
    let is_too_much = |no: &DeviceNo| {
        stack.problems(*no).iter().any(|(_, problem)| matches!(***problem, Problem::TooMuch))
    };
    let arrays = stack.arrays().iter().map(|node| node.device);
    assert_eq!(arrays.filter(is_too_much).count(), 8);
}

/// Mirrors that name one log, and mirrors with a log each: a log is read once, and all share what they may cost.
#[test]
fn logs_that_multiply() {
    const REGIONS: u64 = 1 << 26;
    let part = |name: &str, extent: u64, extents: u64| {
        volume(name, "pv0", extents).replace("\"pv0\", 0", &format!("\"pv0\", {extent}"))
    };
    let mirror = |name: &str, log: &str| {
        format!(
            "{name} {{ id = \"{ID}\" status = [\"VISIBLE\"] segment_count = 1 segment1 {{ \
             start_extent = 0 extent_count = 8192 type = \"mirror\" mirror_count = 2 \
             mirror_log = \"{log}\" region_size = 1 mirrors = [\"a\", 0, \"b\", 0] }} }}\n"
        )
    };
    let mut text = [part("a", 3, 8192), part("b", 8195, 8192), part("plain", 3, 8192)].concat();
    for n in 0..200 {
        text += &mirror(&format!("same{n}"), "log");
        text += &mirror(&format!("own{n}"), &format!("log{n}"));
        text += &part(&format!("log{n}"), 0, 3);
    }
    text += &part("log", 0, 3);
    let text = group(&text)
        .replace("extent_size = 8", "extent_size = 8192")
        .replace("pe_count = 100", "pe_count = 16387");
    let sound = disks("lvm2/linear-3pv", "gen1").remove(0).1;
    let mut found = FoundPv::read(0, &*sound).unwrap().unwrap();
    (found.copies[0].group, found.size) = (parsed(&text).unwrap(), 1 << 40);
    let groups = groups(&[found]);
    let bytes = Arc::new(Alternating { regions: REGIONS, read: AtomicU64::new(0) });
    let opened = Arc::clone(&bytes);
    let mut mapper = Mapper::new(&groups[0], |_| Arc::clone(&opened) as Arc<dyn ReadAt>);
    for n in 0..200 {
        mapper.map(&format!("same{n}")).unwrap();
    }
    let once = bytes.read.load(Relaxed);
    assert!((REGIONS / 8..REGIONS / 8 + 4096).contains(&once), "{once}");
    let refused = (0..200).filter_map(|n| mapper.map(&format!("own{n}")).err());
    let refused: Vec<String> = refused.map(|error| error.to_string()).collect();
    assert!(refused.len() == 198 && refused[0].contains("\"own2\""), "{refused:?}");
    assert!(bytes.read.load(Relaxed) < 4 * once);
    mapper.map("plain").unwrap();
}

/// A device whose first extent holds the log of a mirror of which every other region is in sync.
struct Alternating {
    regions: u64,
    /// Bytes that were read.
    read: AtomicU64,
}

impl ReadAt for Alternating {
    fn len(&self) -> u64 {
        1 << 40
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        const LOG: u64 = 8 * 512;
        self.read.fetch_add(buf.len() as u64, Relaxed);
        buf.fill(0x55);
        if offset == LOG {
            let mut header = [0; 16];
            header[..5].copy_from_slice(b"rRiM\x02");
            header[8..].copy_from_slice(&self.regions.to_le_bytes());
            let len = buf.len().min(16);
            buf[..len].copy_from_slice(&header[..len]);
        }
        Ok(())
    }
}

/// Partitions in partitions, each of which begins with the same table.
#[test]
fn tables_in_tables() {
    let mut inner: Bytes = Arc::new(vec![0; 1 << 20]);
    for _ in 0..40 {
        inner = disk(&[(0x83, &inner)]);
    }
    let stack = Stack::of_members(vec![member("disk", &inner)]).unwrap();
    assert!(stack.devices().len() < 20, "{}", stack.devices().len());
    stack.volume(&Choice::default(), false).unwrap();
}
