//! Labels, texts and trees of LVM2, superblocks of MD, and whole disks with them.

use std::sync::Arc;

use disk::lvm2::{FoundPv, Mapper, groups};
use disk::md::{FoundMember, Superblock, arrays};
use repository::stack::{Choice, DeviceNo, Stack};
use restore::VolumeMember;
use snapfmt::ReadAt;

#[path = "../../crates/repository/tests/support/mod.rs"]
mod samples;

const SECTOR: usize = 512;
/// Where the metadata area of a made-up physical volume is, and its length.
const AREA: usize = 4096;
const AREA_LEN: usize = 64 << 10;
/// Where the extents are, and the length of all.
const EXTENTS: usize = 128 << 10;
const DISK: usize = 256 << 10;
const BLOCK: usize = 4096;

/// The checksum of lvm2.
fn lvm_crc(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(!0xf597_a6cf);
    hasher.update(bytes);
    !hasher.finalize()
}

fn put(bytes: &mut [u8], at: usize, part: &[u8]) {
    bytes[at..at + part.len()].copy_from_slice(part);
}

/// A physical volume with this text, all checksums right.
fn physical_volume(text: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; DISK];
    let text = &text[..text.len().min(AREA_LEN - 2 * SECTOR)];
    let label = &mut disk[SECTOR..2 * SECTOR];
    put(label, 0, b"LABELONE\x01\0\0\0\0\0\0\0");
    put(label, 20, b"\x20\0\0\0LVM2 001FeJZrHRlCwKvgEB3JnTMifqciJQPS7CU");
    put(label, 64, &(DISK as u64).to_le_bytes());
    put(label, 72, &(EXTENTS as u64).to_le_bytes());
    put(label, 104, &(AREA as u64).to_le_bytes());
    put(label, 112, &(AREA_LEN as u64).to_le_bytes());
    let sum = lvm_crc(&label[20..]);
    put(label, 16, &sum.to_le_bytes());
    let sum = lvm_crc(text);
    let header = &mut disk[AREA..AREA + SECTOR];
    put(header, 4, b" LVM2 x[5A%r0N*>\x01\0\0\0");
    put(header, 24, &(AREA as u64).to_le_bytes());
    put(header, 32, &(AREA_LEN as u64).to_le_bytes());
    put(header, 40, &(SECTOR as u64).to_le_bytes());
    put(header, 48, &(text.len() as u64).to_le_bytes());
    put(header, 56, &sum.to_le_bytes());
    let sum = lvm_crc(&header[4..]);
    put(header, 0, &sum.to_le_bytes());
    put(&mut disk, AREA + SECTOR, text);
    disk
}

/// Maps every logical volume of every group on one physical volume.
fn map_all(disk: Vec<u8>) {
    let disk: Arc<dyn ReadAt> = Arc::new(disk);
    let Ok(Some(found)) = FoundPv::read(0, &*disk) else { return };
    for group in groups(&[found]) {
        let mut mapper = Mapper::new(&group, |_| Arc::clone(&disk));
        for lv in group.vg.logical_volumes.values() {
            if let Ok(pieces) = mapper.map(&lv.name) {
                let ends: Vec<u64> = group.vg.physical_volumes.iter().map(|pv| pv.end).collect();
                pieces.check(&ends).expect("pieces are within the extents");
            }
        }
    }
}

/// A text, as the only metadata of a physical volume.
pub fn lvm_text(input: &[u8]) {
    map_all(physical_volume(input));
}

/// A label and an area as they come, but for their checksums.
pub fn lvm_label(input: &[u8]) {
    let mut disk = vec![0; DISK];
    let len = input.len().min(DISK - SECTOR);
    put(&mut disk, SECTOR, &input[..len]);
    let sum = lvm_crc(&disk[SECTOR + 20..2 * SECTOR]);
    put(&mut disk, SECTOR + 16, &sum.to_le_bytes());
    let sum = lvm_crc(&disk[AREA + 4..AREA + SECTOR]);
    put(&mut disk, AREA, &sum.to_le_bytes());
    map_all(disk);
}

/// A group with a thin pool of 16 blocks of metadata and a volume in it.
const POOL: &str = r#"vg { id = "000000-0000-0000-0000-0000-0000-000000" seqno = 1 extent_size = 8
physical_volumes { pv0 { id = "FeJZrH-RlCw-KvgE-B3Jn-TMif-qciJ-QPS7CU" pe_start = 256 pe_count = 32 } }
logical_volumes {
t { id = "000000-0000-0000-0000-0000-0000-000001" status = ["VISIBLE"] segment_count = 1
segment1 { start_extent = 0 extent_count = 8 type = "thin" thin_pool = "p" device_id = 1 } }
p { id = "000000-0000-0000-0000-0000-0000-000002" segment_count = 1
segment1 { start_extent = 0 extent_count = 16 type = "thin-pool" metadata = "m" pool = "d" chunk_size = 8
transaction_id = 1 } }
m { id = "000000-0000-0000-0000-0000-0000-000003" segment_count = 1
segment1 { start_extent = 0 extent_count = 16 type = "striped" stripe_count = 1 stripes = ["pv0", 0] } }
d { id = "000000-0000-0000-0000-0000-0000-000004" segment_count = 1
segment1 { start_extent = 0 extent_count = 16 type = "striped" stripe_count = 1 stripes = ["pv0", 16] } }
} }
contents = "Text Format Volume Group"
version = 1
"#;

/// Blocks of a thin pool's metadata, each put in its place with its checksum right.
pub fn thin_metadata(input: &[u8]) {
    let mut disk = physical_volume(POOL.as_bytes());
    for (number, part) in input.chunks(PART).take(16).enumerate() {
        let block = &mut disk[EXTENTS + number * BLOCK..][..BLOCK];
        put(block, 0, part);
        put(block, 8, &(number as u64).to_le_bytes());
        let salt = if number == 0 { 160_774 } else { 121_107 };
        let sum = !crc32c::crc32c(&block[4..]) ^ salt;
        put(block, 0, &sum.to_le_bytes());
    }
    map_all(disk);
}

/// Bytes of each block that are mutated: keys and values begin here.
const PART: usize = 512;

/// Superblocks of MD, one a device, with their checksums right.
pub fn md_superblocks(input: &[u8]) {
    let mut found = Vec::new();
    for (device, part) in input.chunks(320).take(8).enumerate() {
        let disk = member(part);
        if let Ok(Some(superblock)) = Superblock::read(&disk) {
            found.push(FoundMember { device, superblock });
        }
    }
    for array in arrays(&found) {
        if let Ok(pieces) = array.pieces() {
            let end = |member: &disk::md::Member| member.data.map_or(0, |(at, len)| at + len);
            let ends: Vec<u64> = array.members.iter().map(end).collect();
            pieces.check(&ends).expect("pieces are within the members");
        }
    }
}

/// A device with this superblock of version 1.2.
fn member(part: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; 64 << 10];
    let b = &mut disk[4096..8192];
    put(b, 0, part);
    put(b, 0, &0xa92b_4efc_u32.to_le_bytes());
    put(b, 4, &1_u32.to_le_bytes());
    put(b, 144, &8_u64.to_le_bytes());
    put(b, 216, &[0; 4]);
    let roles = u32::from_le_bytes(b[220..224].try_into().unwrap()).min(1920) as usize;
    let mut sum = 0_u64;
    let (words, rest) = b[..256 + 2 * roles].as_chunks::<4>();
    sum += words.iter().map(|word| u64::from(u32::from_le_bytes(*word))).sum::<u64>();
    if let [a, b] = rest {
        sum += u64::from(u16::from_le_bytes([*a, *b]));
    }
    let folded = (sum & 0xffff_ffff) + (sum >> 32);
    put(b, 216, &folded.to_le_bytes()[..4]);
    disk
}

/// Disks of whatever is made of the input: the first byte says what each is, and how long its part.
pub fn stack(input: &[u8]) {
    let mut disks = Vec::new();
    let mut rest = input;
    while let [kind, len, tail @ ..] = rest
        && disks.len() < 3
    {
        let (part, tail) = tail.split_at((usize::from(*len) * 16).min(tail.len()));
        rest = tail;
        disks.push(match kind % 4 {
            0 => physical_volume(part),
            1 => member(&part[..part.len().min(320)]),
            2 => [part, &[0; 4096]].concat(),
            _ => table(part),
        });
    }
    let named = |(n, disk): (usize, Vec<u8>)| samples::member(&format!("m{n}"), &Arc::new(disk));
    let members: Vec<VolumeMember> = disks.into_iter().enumerate().map(named).collect();
    let Ok(stack) = Stack::of_members(members) else { return };
    for number in 0..stack.devices().len() {
        let no = DeviceNo(number);
        let _ = (stack.name(no).to_string(), stack.doubts(no).len());
    }
    for partition in [None, Some(1)] {
        for salvage in [false, true] {
            let choice = Choice { partition, ..Choice::default() };
            let _ = stack.volume(&choice, salvage).map_err(|refused| refused.to_string());
        }
    }
}

/// A disk with a partition table of DOS, and a member of an array in its first partition.
fn table(part: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; 128 << 10];
    let (entries, inside) = part.split_at(part.len().min(64));
    put(&mut disk, 446, entries);
    put(&mut disk, 446, &[0x80, 0, 0, 0, 0xfd, 0, 0, 0, 64, 0, 0, 0, 128, 0, 0, 0]);
    put(&mut disk, 510, &[0x55, 0xaa]);
    put(&mut disk, 64 * SECTOR, &member(&inside[..inside.len().min(320)]));
    disk
}

/// A superblock of a filesystem that is found, whatever else it says, on the first of two members.
pub fn guess(input: &[u8]) {
    let [kind, rest @ ..] = input else { return };
    let (at, magic, field): (usize, &[u8], usize) = match kind % 4 {
        0 => (1024, b"\x53\xef", 0x38),
        1 => (0, b"XFSB", 0),
        2 => (0, b"NTFS    ", 3),
        _ => (64 << 10, b"_BHRfS_M", 0x40),
    };
    let mut disk = vec![0; DISK];
    put(&mut disk, at, &rest[..rest.len().min(DISK - at)]);
    put(&mut disk, at + field, magic);
    if kind % 4 == 3 {
        put(&mut disk, at + 0x30, &65536_u64.to_le_bytes());
    }
    let disks = [Arc::new(disk), Arc::new(vec![0; DISK])];
    let _ = disk::guess::guess(&disks.map(|disk| disk as Arc<dyn ReadAt>));
}

/// What the real tools wrote.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = vec![("lvm_text", POOL.as_bytes().to_vec()), ("stack", vec![0, 255, 1, 20])];
    seeds.extend((0..4).map(|kind| ("guess", vec![kind])));
    for (sample, state) in [("lvm2/linear-3pv", "gen1"), ("lvm2/snapshot-thin", "gen1")] {
        for (_, disk) in samples::disks(sample, state) {
            let found = FoundPv::read(0, &*disk).expect("a sound sample");
            for copy in found.into_iter().flat_map(|found| found.copies) {
                let mut whole = vec![0, u8::try_from(copy.text.len() / 16).unwrap_or(255)];
                whole.extend(&copy.text);
                seeds.push(("stack", whole));
                seeds.push(("lvm_text", copy.text));
            }
            seeds.push(("lvm_label", disk[SECTOR..32 << 10].to_vec()));
        }
    }
    for sample in ["linear-2x", "raid0-2x-64k", "raid0-3x-uneven", "raid1-2x"] {
        let disks = samples::disks(&format!("mdraid/{sample}"), "gen0");
        let parts = disks.iter().map(|(_, disk)| disk[4096..4096 + 320].to_vec());
        let parts: Vec<Vec<u8>> = parts.collect();
        seeds.push(("md_superblocks", parts.concat()));
        seeds.push(("stack", parts.iter().flat_map(|p| [&[1, 20], &p[..]].concat()).collect()));
    }
    // The pool's metadata is at the extent 53 of the first disk, each of 1 MiB.
    let (_, disk) = samples::disks("lvm2/snapshot-thin", "gen1").swap_remove(0);
    let blocks = disk[54 << 20..].chunks(BLOCK).take(16);
    seeds.push(("thin_metadata", blocks.flat_map(|block| block[..PART].to_vec()).collect()));
    seeds
}
