//! What is written over an image comes back, and nothing else has changed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::fs::{self, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use attach::overlay::{Medium, Overlay, OverlayError};
use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};
use restore::image::{Image, ImageError, Run, WritableImage};
use testing::check::same;
use testing::images::MemoryImage;
use testing::{index, indices, noise};

/// Three whole regions and a bit; the last block is short.
const SIZE: usize = (3 << 20) + 20_000;

fn lower() -> MemoryImage {
    MemoryImage::new(noise(1, SIZE), vec![100_000..900_001, (2 << 20) - 5..(2 << 20) + 70_000])
}

fn whole(image: &dyn Image) -> Vec<u8> {
    let mut out = vec![0xA5; index(image.size())];
    image.read_at(0, &mut out).unwrap();
    out
}

/// All bytes, and no run without data where there is any.
fn expect(image: &dyn Image, model: &[u8]) {
    same(&whole(image), model, 0);
    let mut at = 0;
    while at < image.size() {
        let Run { end, is_data } = image.run_at(at).unwrap();
        assert!(end > at && end <= image.size(), "a run from {at} to {end}");
        let bytes = &model[indices(&(at..end))];
        assert!(is_data || bytes.iter().all(|b| *b == 0), "data in the hole from {at} to {end}");
        at = end;
    }
}

#[derive(Clone, Debug)]
enum Act {
    Write(u64, usize, u64),
    Zero(u64, u64),
    Flush,
    Reopen,
    Read(u64, u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let place = || 0..SIZE as u64;
    let round = |n: u64| n - n % 4096;
    let len = || prop_oneof![1..700_u64, 4000..4200_u64, 1..1_500_000_u64];
    let act = prop_oneof![
        4 => (place(), len(), any::<u64>()).prop_map(|(at, len, seed)| Act::Write(at, index(len), seed)),
        2 => (place(), 1..20_usize, any::<u64>())
            .prop_map(move |(at, n, seed)| Act::Write(round(at), n * 4096, seed)),
        2 => (place(), len()).prop_map(|(at, len)| Act::Zero(at, len)),
        1 => (place(), 1..300_u64).prop_map(move |(at, n)| Act::Zero(round(at), n * 4096)),
        1 => prop::strategy::Just(Act::Flush),
        1 => prop::strategy::Just(Act::Reopen),
        2 => (place(), len()).prop_map(|(at, len)| Act::Read(at, len)),
    ];
    prop::collection::vec(act, 1..40)
}

proptest! {
    #![proptest_config(testing::cases(96))]

    #[test]
    fn whatever_is_written_is_read(acts in acts()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("overlay");
        let lower: Arc<dyn Image> = Arc::new(lower());
        let mut model = whole(&*lower);
        let open = || Overlay::open_or_create(&path, "content-1", lower.clone()).unwrap();
        let mut overlay = open();
        let clip = |at: u64, len: u64| at..(at + len).min(SIZE as u64);
        for act in acts {
            match act {
                Act::Write(at, len, seed) => {
                    let range = clip(at, len as u64);
                    let bytes = noise(seed, indices(&range).len());
                    overlay.write_at(range.start, &bytes).unwrap();
                    model[indices(&range)].copy_from_slice(&bytes);
                }
                Act::Zero(at, len) => {
                    overlay.zero_at(clip(at, len)).unwrap();
                    model[indices(&clip(at, len))].fill(0);
                }
                Act::Flush => overlay.flush().unwrap(),
                Act::Reopen => {
                    // Whoever closes it flushes it, as a device does that is detached.
                    overlay.flush().unwrap();
                    drop(overlay);
                    overlay = open();
                    expect(&overlay, &model);
                }
                Act::Read(at, len) => {
                    let range = clip(at, len);
                    let mut out = vec![0xA5; indices(&range).len()];
                    overlay.read_at(range.start, &mut out).unwrap();
                    same(&out, &model[indices(&range)], range.start);
                }
            }
        }
        expect(&overlay, &model);
        overlay.flush().unwrap();
        drop(overlay);
        expect(&*Overlay::read_only(&path, "content-1", lower.clone()).unwrap(), &model);
    }
}

/// Each thread has every eighth sector: blocks and their first reading are shared by all of them.
#[test]
fn many_threads_write_next_to_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let lower: Arc<dyn Image> = Arc::new(lower());
    let overlay = Overlay::create(&dir.path().join("overlay"), "c", lower.clone()).unwrap();
    let sectors = (SIZE / 512) as u64;
    let value = |sector: u64| noise(sector + 77, 512);
    thread::scope(|scope| {
        for n in 0..8 {
            let overlay = &overlay;
            scope.spawn(move || {
                for sector in (n..sectors).step_by(8).filter(|s| s % 3 != 0) {
                    overlay.write_at(sector * 512, &value(sector)).unwrap();
                    let mut out = [0; 512];
                    overlay.read_at(sector * 512, &mut out).unwrap();
                    same(&out, &value(sector), sector * 512);
                    if sector % 100 == 0 {
                        overlay.flush().unwrap();
                    }
                }
            });
        }
    });
    let mut model = whole(&*lower);
    for sector in (0..sectors).filter(|s| s % 3 != 0) {
        model[index(sector * 512)..][..512].copy_from_slice(&value(sector));
    }
    expect(&overlay, &model);
}

/// Of 64 TiB: the map and its answers cost what was written.
#[test]
fn a_huge_image_costs_what_is_written() {
    struct Void;
    impl Image for Void {
        fn size(&self) -> u64 {
            64 << 40
        }
        fn read_at(&self, _: u64, out: &mut [u8]) -> Result<(), ImageError> {
            out.fill(0);
            Ok(())
        }
        fn run_at(&self, _: u64) -> Result<Run, ImageError> {
            Ok(Run { end: self.size(), is_data: false })
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("overlay");
    let places = [0, (40 << 40) + 4096, (64 << 40) - 4096];
    let open = || Overlay::open_or_create(&path, "c", Arc::new(Void)).unwrap();
    let overlay = open();
    for (seed, at) in (5..).zip(places) {
        overlay.write_at(at, &noise(seed, 4096)).unwrap();
    }
    let runs = |overlay: &Overlay| {
        let (mut at, mut runs) = (0, 0);
        while at < overlay.size() {
            at = overlay.run_at(at).unwrap().end;
            runs += 1;
        }
        runs
    };
    assert!(runs(&overlay) < 40, "{} runs before the flush", runs(&overlay));
    overlay.flush().unwrap();
    drop(overlay);
    let overlay = open();
    assert!(runs(&overlay) < 80, "{} runs", runs(&overlay));
    for (seed, at) in (5..).zip(places) {
        let mut out = [0; 4096];
        overlay.read_at(at, &mut out).unwrap();
        same(&out, &noise(seed, 4096), at);
    }
    // Giving up all that is zero already writes nothing.
    overlay.zero_at(1 << 40..(1 << 40) + (8 << 30)).unwrap();
    overlay.flush().unwrap();
    let kept = fs::metadata(&path).unwrap().blocks() * 512;
    assert!(kept < 1 << 20, "{kept} bytes on disk");
    let len = fs::metadata(&path).unwrap().len();
    assert!(len < 8 << 30, "{len} bytes long: of the map, and three places");
}

#[test]
fn zeros_give_their_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("overlay");
    let overlay = Overlay::create(&path, "c", Arc::new(lower())).unwrap();
    let kept = || fs::metadata(&path).unwrap().blocks() * 512;
    overlay.write_at(0, &noise(3, 2 << 20)).unwrap();
    overlay.flush().unwrap();
    let full = kept();
    assert!(full >= 2 << 20);
    overlay.zero_at(4096..(2 << 20) - 4096).unwrap();
    overlay.flush().unwrap();
    assert!(kept() < full / 8, "{} of {full} bytes", kept());
}

#[test]
fn damage_below_fails_what_needs_it_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut lower = lower();
    let (lost, model) = (1_100_000..1_100_100_u64, lower.bytes.clone());
    lower.lost = vec![lost.clone()];
    let path = dir.path().join("overlay");
    let overlay = Overlay::create(&path, "c", Arc::new(lower)).unwrap();
    let block = lost.start / 4096 * 4096;
    let mut out = [0; 1];
    assert!(matches!(overlay.read_at(lost.start, &mut out), Err(ImageError::Damaged(_))));
    // The rest of the block would be lost, or made up.
    let error = overlay.write_at(block, &[7; 512]).unwrap_err();
    assert!(matches!(error, ImageError::Damaged(_)), "{error}");
    overlay.read_at(block, &mut out).unwrap();
    assert_eq!(out[0], model[index(block)], "the write did nothing");
    overlay.write_at(block, &noise(9, 4096)).unwrap();
    let mut expected = model;
    expected[index(block)..][..4096].copy_from_slice(&noise(9, 4096));
    expect(&overlay, &expected);
}

fn opened(path: &Path, content: &str, size: usize) -> Result<Overlay, OverlayError> {
    Overlay::open(path, content, Arc::new(MemoryImage::new(vec![0; size], Vec::new())))
}

#[test]
fn only_its_own_overlay_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("overlay");
    let lower: Arc<dyn Image> = Arc::new(lower());
    let overlay = Overlay::create(&path, "content-1", lower.clone()).unwrap();
    overlay.write_at(5, b"mine").unwrap();
    overlay.flush().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let busy = |error: OverlayError| assert!(matches!(error, OverlayError::Busy { .. }), "{error}");
    busy(opened(&path, "content-1", SIZE).unwrap_err());
    busy(Overlay::read_only(&path, "content-1", lower.clone()).map(drop).unwrap_err());
    busy(Overlay::reset(&path, "content-1", lower.clone()).unwrap_err());
    drop(overlay);
    let before = fs::read(&path).unwrap();
    let error = Overlay::create(&path, "content-1", lower.clone()).unwrap_err();
    assert!(matches!(error, OverlayError::Exists { .. }), "{error}");
    let error = opened(&path, "content-2", SIZE).unwrap_err();
    let OverlayError::OtherContent { expected, found, .. } = &error else { panic!("{error}") };
    assert_eq!((expected.as_str(), found.as_str()), ("content-2", "content-1"));
    let error = opened(&path, "content-1", SIZE + 1).unwrap_err();
    assert!(
        matches!(error, OverlayError::OtherSize { found, .. } if found == SIZE as u64),
        "{error}"
    );
    // Any bit of the header; then not one at all.
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    for at in (8..512).step_by(9) {
        FileExt::write_all_at(&file, &[before[at] ^ 4], at as u64).unwrap();
        let error = opened(&path, "content-1", SIZE).unwrap_err();
        let seen = matches!(error, OverlayError::Damaged { .. } | OverlayError::Version { .. });
        assert!(seen, "byte {at}: {error}");
        FileExt::write_all_at(&file, &before[at..=at], at as u64).unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), before, "nothing was changed by all that");
    for other in [&b""[..], b"SNAPOVL", &[0; 8192], b"my notes"] {
        let other_path = dir.path().join("other");
        fs::write(&other_path, other).unwrap();
        let is_none =
            |e: OverlayError| assert!(matches!(e, OverlayError::NotAnOverlay { .. }), "{e}");
        is_none(opened(&other_path, "content-1", SIZE).unwrap_err());
        is_none(Overlay::reset(&other_path, "content-1", lower.clone()).unwrap_err());
        assert_eq!(fs::read(&other_path).unwrap(), other);
    }
    // What a link leads to is not written to.
    let link = dir.path().join("link");
    std::os::unix::fs::symlink("overlay", &link).unwrap();
    for error in [
        opened(&link, "content-1", SIZE).map(drop).unwrap_err(),
        Overlay::reset(&link, "content-1", lower.clone()).map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, OverlayError::Foreign { .. }), "{error}");
    }
    drop(Overlay::read_only(&link, "content-1", lower.clone()).unwrap());
    fs::remove_file(&link).unwrap();
    let long = "x".repeat(257);
    let error = Overlay::create(&dir.path().join("long"), &long, lower.clone()).unwrap_err();
    assert!(matches!(error, OverlayError::TooLarge { .. }), "{error}");
    // Of other content as well: it is thrown away.
    let overlay = Overlay::reset(&path, "content-2", lower.clone()).unwrap();
    expect(&overlay, &whole(&*lower));
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn what_other_users_can_have_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("overlay"), dir.path().join("other"));
    let lower: Arc<dyn Image> = Arc::new(lower());
    drop(Overlay::create(&path, "content-1", lower.clone()).unwrap());
    let before = fs::read(&path).unwrap();
    let refused = || {
        for error in [
            opened(&path, "content-1", SIZE).map(drop).unwrap_err(),
            Overlay::reset(&path, "content-1", lower.clone()).map(drop).unwrap_err(),
            Overlay::read_only(&path, "content-1", lower.clone()).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, OverlayError::Foreign { .. }), "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), before);
    };
    fs::hard_link(&path, &other).unwrap();
    refused();
    fs::remove_file(&other).unwrap();
    let set_mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    for mode in [0o620, 0o602] {
        set_mode(mode);
        refused();
    }
    // What they can only read is the caller's own.
    set_mode(0o644);
    drop(Overlay::read_only(&path, "content-1", lower.clone()).unwrap());
    drop(opened(&path, "content-1", SIZE).unwrap());
}

#[test]
fn a_damaged_record_fails_its_bytes_and_is_never_taken_for_nothing_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("overlay");
    let size = 20 << 20;
    let lower: Arc<dyn Image> = Arc::new(MemoryImage::new(noise(1, size), Vec::new()));
    let overlay = Overlay::create(&path, "c", lower.clone()).unwrap();
    let mut model = whole(&*lower);
    for at in [5 << 20, 9 << 20, 15 << 20] {
        overlay.write_at(at, &noise(at, 70_000)).unwrap();
        model[index(at)..][..70_000].copy_from_slice(&noise(at, 70_000));
    }
    overlay.flush().unwrap();
    drop(overlay);
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    // The second record: MiB 7 to 14.
    let mut byte = [0];
    FileExt::read_exact_at(&file, &mut byte, 4096 + 512 + 300).unwrap();
    FileExt::write_all_at(&file, &[byte[0] ^ 1], 4096 + 512 + 300).unwrap();
    let overlay = Overlay::open(&path, "c", lower).unwrap();
    let lost: Range<u64> = 7 << 20..14 << 20;
    for at in (0..size as u64).step_by(1 << 18) {
        let mut out = [0; 4096];
        match overlay.read_at(at, &mut out) {
            Ok(()) => same(&out, &model[index(at)..][..4096], at),
            Err(error) => assert!(lost.contains(&at), "{at}: {error}"),
        }
        assert_eq!(overlay.run_at(at).is_err(), lost.contains(&at), "{at}");
        assert_eq!(overlay.write_at(at, &out).is_err(), lost.contains(&at), "{at}");
        assert_eq!(overlay.zero_at(at..at + 9).is_err(), lost.contains(&at), "{at}");
    }
}

/// A disk that is full for a while.
struct Full {
    file: fs::File,
    room: Arc<AtomicU64>,
}

impl Medium for Full {
    fn len(&self) -> io::Result<u64> {
        Medium::len(&self.file)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        Medium::read_exact_at(&self.file, out, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let left = self.room.load(Ordering::Relaxed);
        if left < bytes.len() as u64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room.store(left - bytes.len() as u64, Ordering::Relaxed);
        Medium::write_all_at(&self.file, bytes, offset)
    }
    fn give_back(&self, _: Range<u64>) {}
    fn next_data(&self, offset: u64, end: u64) -> io::Result<u64> {
        self.file.next_data(offset, end)
    }
    fn sync(&self) -> io::Result<()> {
        Medium::sync(&self.file)
    }
}

#[test]
fn a_full_disk_fails_the_write_and_costs_nothing_else() {
    let room = Arc::new(AtomicU64::new(u64::MAX));
    let full = Arc::new(Full { file: tempfile::tempfile().unwrap(), room: room.clone() });
    let lower: Arc<dyn Image> = Arc::new(lower());
    let path = Path::new("full");
    Overlay::format(&*full, path, "c", lower.size()).unwrap();
    let open = || Overlay::on(full.clone(), path, "c", lower.clone()).unwrap();
    let overlay = open();
    let mut model = whole(&*lower);
    overlay.write_at(0, &noise(4, 50_000)).unwrap();
    model[..50_000].copy_from_slice(&noise(4, 50_000));
    overlay.flush().unwrap();
    room.store(5000, Ordering::Relaxed);
    for at in [60_000, 1 << 20, 2_500_000] {
        let error = overlay.write_at(at, &noise(5, 30_000)).unwrap_err();
        let full = matches!(&error, ImageError::Local { source, .. }
            if source.kind() == io::ErrorKind::StorageFull);
        assert!(full, "{error}");
        expect(&overlay, &model);
    }
    // Room for the data, none for the map: not durable, but not lost either.
    room.store(4096, Ordering::Relaxed);
    overlay.write_at(2 << 20, &noise(6, 4096)).unwrap();
    model[2 << 20..][..4096].copy_from_slice(&noise(6, 4096));
    overlay.flush().unwrap_err();
    expect(&overlay, &model);
    room.store(u64::MAX, Ordering::Relaxed);
    overlay.flush().unwrap();
    expect(&overlay, &model);
    expect(&open(), &model);
}

#[test]
fn a_temporary_one_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let lower: Arc<dyn Image> = Arc::new(lower());
    let overlay = Overlay::temporary(dir.path(), lower.clone()).unwrap();
    overlay.write_at(3000, b"gone soon").unwrap();
    overlay.flush().unwrap();
    let mut model = whole(&*lower);
    model[3000..3009].copy_from_slice(b"gone soon");
    expect(&overlay, &model);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_is_beyond_the_end_is_refused() {
    let overlay = Overlay::temporary(&std::env::temp_dir(), Arc::new(lower())).unwrap();
    let size = SIZE as u64;
    let beyond = |result: Result<(), ImageError>| {
        assert!(matches!(result, Err(ImageError::Beyond { .. })), "{result:?}");
    };
    beyond(overlay.write_at(size - 1, &[1, 2]));
    beyond(overlay.zero_at(size..size + 1));
    beyond(overlay.read_at(size, &mut [0]));
    beyond(overlay.run_at(size).map(drop));
    overlay.write_at(size, &[]).unwrap();
    overlay.zero_at(size..size).unwrap();
    expect(&overlay, &lower().bytes);
}
