//! Reads beside a restore in the background: right at every moment, and local as soon as can be.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use attach::hydrate::{Background, End, Hydrated, Request, start};
use restore::Volume;
use restore::image::{Image, ImageError, Run};
use restore::journal::{Binding, Journal, SyncPoints};
use restore::reader::{self, Reader};
use restore::sink::Io;
use restore::source::{ReadCause, ReadError};
use testing::files;
use testing::job::{entry, journal};
use testing::model::VolumeModel;
use testing::panics::{PATIENCE, SIZE, panicking};
use testing::place::{Place, STOP, failing, model, volume};
use testing::{check, index, jobs, noise};

/// The volume as its sources would give it, and how many bytes of it were asked for.
struct Sources {
    bytes: Vec<u8>,
    asked: AtomicU64,
    /// From here on they cannot be read.
    lost_from: u64,
}

impl Sources {
    fn of(model: &VolumeModel) -> Arc<Self> {
        Arc::new(Self { bytes: model.bytes(), asked: AtomicU64::new(0), lost_from: u64::MAX })
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Image for Sources {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ImageError> {
        self.asked.fetch_add(out.len() as u64, Ordering::Relaxed);
        if offset + out.len() as u64 > self.lost_from {
            let source = io::ErrorKind::NotFound.into();
            let cause = ReadCause::Io { offset, source };
            return Err(ReadError::new(Path::new("gone"), cause).into());
        }
        out.copy_from_slice(&self.bytes[index(offset)..][..out.len()]);
        Ok(())
    }

    fn run_at(&self, _: u64) -> Result<Run, ImageError> {
        Ok(Run { end: self.size(), is_data: true })
    }
}

fn begin(place: &Place, volume: Volume, sources: &Arc<Sources>) -> (Hydrated, Background) {
    let mut journal = journal(&place.journal());
    journal.points = SyncPoints { bytes: 1 << 20, time: Duration::from_millis(5) };
    let request = Request { target: entry(&place.target()), journal, io: Io::Auto, jobs: jobs(2) };
    let image: Arc<Sources> = Arc::clone(sources);
    start(Arc::new(volume), image, request, |_| {}).unwrap()
}

/// Reads of many lengths all over the image are right.
fn reads_are_right(image: &Hydrated, bytes: &[u8], seed: u64) {
    let places = noise(seed, 64 * 8);
    for place in places.chunks_exact(8) {
        let at = u64::from_le_bytes(place.try_into().unwrap()) % bytes.len() as u64;
        let len = (1 + usize::from(place[0]) * 3000).min(bytes.len() - index(at));
        let mut out = vec![0xAA; len];
        image.read_at(at, &mut out).unwrap();
        check::same(&out, &bytes[index(at)..][..len], at);
    }
}

#[test]
fn what_is_durable_needs_the_sources_no_more() {
    let model = model();
    let (place, sources, bytes) = (Place::new(), Sources::of(&model), model.bytes());
    let (image, background) = begin(&place, volume(&model), &sources);
    reads_are_right(&image, &bytes, 1);
    let end = background.wait();
    assert!(matches!(end, End::Whole), "{end:?}");
    assert_eq!(place.names(), ["target"]);
    check::same(&fs::read(place.target()).unwrap(), &bytes, 0);
    let asked = sources.asked();
    reads_are_right(&image, &bytes, 2);
    assert_eq!(sources.asked(), asked, "all of it is local");
}

/// Whatever the places of the local copy hold that are not proved.
#[test]
fn what_is_not_proved_comes_from_the_sources() {
    let model = model();
    let (place, sources, bytes) = (Place::new(), Sources::of(&model), model.bytes());
    let proven = place.unfinished(&model);
    let binding = Binding { volume: "content-1".into(), range: 0..bytes.len() as u64 };
    let ranges = Journal::open(&entry(&place.journal()), &binding).unwrap().proven();
    let mut at = 0;
    while let Some(end) =
        (at < bytes.len() as u64).then(|| ranges.next_from(at).unwrap_or(bytes.len() as u64))
    {
        files::overwrite(&place.partial(), at, &noise(at, index(end - at)));
        at = ranges.end_from(end).unwrap_or(bytes.len() as u64);
    }
    let (image, background) = begin(&place, volume(&model), &sources);
    for seed in 0..20 {
        reads_are_right(&image, &bytes, seed);
    }
    assert!(image.local() >= proven, "an earlier run's ranges count at once");
    assert!(matches!(background.wait(), End::Whole));
    check::same(&fs::read(place.target()).unwrap(), &bytes, 0);
}

#[test]
fn stopped_it_goes_on_the_next_time() {
    let model = model();
    let (place, sources, bytes) = (Place::new(), Sources::of(&model), model.bytes());
    let mut local = 0;
    for _ in 0..3 {
        let (image, background) = begin(&place, volume(&model), &sources);
        reads_are_right(&image, &bytes, 3);
        let before = image.local();
        assert!(before >= local, "{before} after {local}");
        local = before;
        match background.stop() {
            End::Whole => break,
            end => assert!(matches!(end, End::Stopped), "{end:?}"),
        }
    }
    if !place.target().exists() {
        let (_image, background) = begin(&place, volume(&model), &sources);
        assert!(matches!(background.wait(), End::Whole));
    }
    check::same(&fs::read(place.target()).unwrap(), &bytes, 0);
    assert_eq!(place.names(), ["target"]);
}

#[test]
fn damage_gets_no_name_and_stays_damage() {
    let model = model();
    let (place, sources) = (Place::new(), Sources::of(&model));
    let (image, background) = begin(&place, failing(&model, STOP), &sources);
    let end = background.wait();
    let End::Damaged(damage) = &end else { panic!("{end:?}") };
    let lost = damage[0].logical[0].clone();
    assert_eq!(place.names(), [".target.partial", "journal"]);
    // It is the sources that are asked again for what was lost, and for nothing else.
    let asked = sources.asked();
    let mut out = vec![0; 1];
    image.read_at(lost.start, &mut out).unwrap();
    assert_eq!(sources.asked(), asked + 1);
    // They can be read now, and so the next run makes it whole.
    let (_image, background) = begin(&place, volume(&model), &sources);
    assert!(matches!(background.wait(), End::Whole));
    check::same(&fs::read(place.target()).unwrap(), &model.bytes(), 0);
}

#[test]
fn sources_that_fail_are_an_error_where_nothing_is_local() {
    let model = model();
    let place = Place::new();
    let sources =
        Arc::new(Sources { bytes: model.bytes(), asked: AtomicU64::new(0), lost_from: 1 << 20 });
    // The restore cannot even begin.
    let nowhere = Place { dir: tempfile::tempdir_in(place.dir.path()).unwrap() };
    fs::create_dir(nowhere.partial()).unwrap();
    let (image, background) = begin(&nowhere, volume(&model), &sources);
    assert!(matches!(background.wait(), End::Failed(_)));
    let mut out = vec![0; 4096];
    image.read_at(0, &mut out).unwrap();
    assert!(matches!(image.read_at(2 << 20, &mut out), Err(ImageError::Damaged(_))));
}

#[test]
fn a_restore_in_the_background_says_so_and_reads_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let behind = Arc::new(panicking(40));
    let image = Reader::new(Arc::new(panicking(u64::MAX)), &reader::Options::default()).unwrap();
    let request = Request {
        target: entry(&dir.path().join("image")),
        journal: journal(&dir.path().join("journal")),
        io: Io::Auto,
        jobs: jobs(2),
    };
    let (sender, ended) = channel();
    let told = move |end: &End| sender.send(end.to_string()).unwrap();
    let (image, background) = start(behind, Arc::new(image), request, told).unwrap();
    let said = ended.recv_timeout(PATIENCE).unwrap();
    assert!(said.contains("panicked"), "{said}");
    assert!(matches!(background.wait(), End::Panicked));
    let mut out = vec![0; SIZE];
    image.read_at(0, &mut out).unwrap();
    assert_eq!(out, noise(1, SIZE));
}
