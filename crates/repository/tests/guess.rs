//! Orders and stripe sizes that nothing tells any more are found by what a filesystem has elsewhere.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::sync::Arc;

use disk::guess::{Guess, NoGuess, Shape, Sureness, guess};
use proptest::prelude::{Just, ProptestConfig, any, prop, prop_oneof, proptest};
use restore::image::{Image, ImageBytes};
use restore::reader::{Options, Reader};
use restore::snapfmt::ReadAt;
use restore::{Layout, Volume, VolumeMember};
use snaprestore::stack::{Choice, Stack};
use support::forge::striped;
use support::{Bytes, disks, member, sha256_of};

fn members(disks: &[Bytes]) -> Vec<VolumeMember> {
    disks.iter().enumerate().map(|(n, disk)| member(&format!("disk{n}"), disk)).collect()
}

fn guesses_of(disks: &[Bytes]) -> Result<Vec<Guess>, NoGuess> {
    guess(&disks.iter().map(|disk| Arc::clone(disk) as Arc<dyn ReadAt>).collect::<Vec<_>>())
}

/// An ext4 filesystem of 24 MiB.
fn filesystem() -> Vec<u8> {
    let disks: Vec<Bytes> =
        disks("lvm2/mda-wrapped", "gen0").into_iter().map(|(_, disk)| disk).collect();
    let stack = Stack::of_members(members(&disks)).unwrap();
    let volume = stack.volume(&Choice::default(), false).unwrap();
    let reader = Reader::new(Arc::new(volume), &Options::default()).unwrap();
    let mut bytes = vec![0; usize::try_from(reader.size()).unwrap()];
    ImageBytes(&reader).read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn the_order_and_the_stripe_size_are_found() {
    let filesystem = filesystem();
    for (count, stripe, order) in [
        (2, 64 << 10, vec![1, 0]),
        (2, 16 << 10, vec![0, 1]),
        (2, 1 << 20, vec![1, 0]),
        (3, 128 << 10, vec![2, 0, 1]),
        (4, 64 << 10, vec![3, 1, 0, 2]),
    ] {
        let parts = striped(&filesystem, stripe, count);
        let len = parts.iter().map(Vec::len).max().unwrap().next_multiple_of(stripe);
        let padded = |part: &Vec<u8>| {
            let mut part = part.clone();
            part.resize(len, 0);
            Arc::new(part)
        };
        // What stands at place `n` is given at `order[n]`.
        let mut disks: Vec<Bytes> = (0..count).map(|_| Arc::default()).collect();
        for (n, part) in parts.iter().enumerate() {
            disks[order[n]] = padded(part);
        }
        let guesses = guesses_of(&disks).unwrap();
        let best = &guesses[0];
        assert_eq!(best.shape, Shape::Striped { stripe: stripe as u64 }, "{best:?}");
        assert_eq!((best.found, best.start), (best.checked, 0), "{best:?}");
        assert_eq!(best.order[0], order[0], "{best:?}");
        // Small as it is, it does not have something on every member.
        assert!(guesses.iter().any(|g| g.found == best.found && g.order == order), "{best:?}");
    }
}

#[test]
fn a_superblock_that_is_gone_is_not_needed() {
    let mut disks = disks("mdraid/raid0-2x-64k", "gen0");
    for (_, disk) in &mut disks {
        let mut bytes = (**disk).clone();
        bytes[4096..8192].fill(0);
        *disk = Arc::new(bytes);
    }
    disks.reverse();
    let disks: Vec<Bytes> = disks.into_iter().map(|(_, disk)| disk).collect();
    let guesses = guesses_of(&disks).unwrap();
    let best = &guesses[0];
    assert_eq!((best.shape, best.start), (Shape::Striped { stripe: 64 << 10 }, 1 << 20));
    assert_eq!(best.order, [1, 0]);
    // All that this small filesystem has lies where stripes of twice the size have it, too.
    let also = &guesses[1];
    assert_eq!((also.shape, also.found), (Shape::Striped { stripe: 128 << 10 }, best.found));
    assert!(guesses.iter().all(|g| g.sureness < Sureness::Sure), "{best:?}");
    assert!(guesses[2..].iter().all(|g| g.found * 2 < best.found), "{:?}", guesses[2]);
    let sizes: Vec<u64> = disks.iter().map(|disk| disk.len() as u64).collect();
    let layout = Layout::new(best.map(&sizes).unwrap());
    let expected = support::expected("mdraid/raid0-2x-64k").remove(0);
    assert_eq!(sha256_of(Volume::new(layout, members(&disks)).unwrap()), expected.2);
}

#[test]
fn nothing_is_made_up() {
    let blank: Vec<Bytes> = (0..2).map(|_| Arc::new(vec![0; 1 << 20])).collect();
    assert!(matches!(guesses_of(&blank), Err(NoGuess::NoStart)));
    let many: Vec<Bytes> = (0..17).map(|_| Arc::new(vec![0; 4096])).collect();
    assert!(matches!(guesses_of(&many), Err(NoGuess::TooMany { found: 17 })));
    // The second half is missing: nothing is sure.
    let half = striped(&filesystem(), 64 << 10, 2).remove(0);
    let guesses = guesses_of(&[Arc::new(half)]).unwrap_or_default();
    assert!(guesses.iter().all(|g| g.sureness < Sureness::Sure), "{guesses:?}");
}

/// A superblock that is found, whatever else it says.
fn superblock(kind: usize, bytes: &[u8]) -> Bytes {
    let mut disk = vec![0; 256 << 10];
    let (at, magic, field): (usize, &[u8], usize) = match kind {
        0 => (1024, b"\x53\xef", 0x38),
        1 => (0, b"XFSB", 0),
        2 => (0, b"NTFS    ", 3),
        _ => (64 << 10, b"_BHRfS_M", 0x40),
    };
    disk[at..at + bytes.len()].copy_from_slice(bytes);
    disk[at + field..at + field + magic.len()].copy_from_slice(magic);
    if kind == 3 {
        disk[at + 0x30..at + 0x38].copy_from_slice(&65536_u64.to_le_bytes());
    }
    Arc::new(disk)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn superblocks_may_say_anything(
        kind in 0_usize..4,
        bytes in prop::collection::vec(prop_oneof![6 => Just(0), 2 => 0_u8..16, 1 => any::<u8>()], 2048),
    ) {
        let disks = [superblock(kind, &bytes), Arc::new(vec![0; 256 << 10])];
        let guesses = guesses_of(&disks).unwrap_or_default();
        assert!(guesses.iter().all(|g| g.found <= g.checked), "{guesses:?}");
    }
}
