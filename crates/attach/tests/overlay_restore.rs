//! What was written over a volume is restored like the volume.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::path::Path;
use std::sync::Arc;

use attach::overlay::Overlay;
use restore::engine::run;
use restore::image::ImageSource;
use restore::image::{Image, WritableImage};
use restore::{Progress, Volume, VolumeMember};
use testing::check::{restored_bytes, same};
use testing::images::MemoryImage;
use testing::model::{MemberModel, Part, VolumeModel};
use testing::sinks::MemorySink;
use testing::{indices, noise, salvage, strict};

const SIZE: u64 = 9_000_123;

fn volume(image: Box<dyn Image>) -> Volume {
    let source = Arc::new(ImageSource::new(image, Path::new("overlay-file")));
    Volume::of_one(VolumeMember { volume_id: "overlay".parse().unwrap(), source }).unwrap()
}

fn lower() -> MemoryImage {
    MemoryImage::new(
        noise(1, testing::index(SIZE)),
        vec![2_000_000..5_000_001, 5_500_000..5_500_512],
    )
}

#[test]
fn an_overlaid_image_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("overlay");
    let mut bytes = lower().bytes;
    let overlay = Overlay::create(&path, "c", Arc::new(lower())).unwrap();
    for (at, len, seed) in
        [(0, 100, 2), (1_999_000, 2000, 3), (3_000_000, 900_000, 4), (SIZE - 7, 7, 5)]
    {
        overlay.write_at(at, &noise(seed, len)).unwrap();
        bytes[testing::index(at)..][..len].copy_from_slice(&noise(seed, len));
    }
    overlay.zero_at(6_000_000..8_000_000).unwrap();
    bytes[6_000_000..8_000_000].fill(0);
    overlay.flush().unwrap();
    drop(overlay);
    let image = Overlay::read_only(&path, "c", Arc::new(lower())).unwrap();
    let volume = volume(image);
    let member = MemberModel::of("overlay", bytes);
    let model = VolumeModel { members: vec![member], layout: vec![Part::Linear(SIZE, (0, 0))] };
    for jobs in [1, 3] {
        restored_bytes(&volume, &model, &strict(jobs));
    }
    let sink = MemorySink::new(SIZE);
    let report = run(&volume, 0..SIZE, &sink, &strict(1), &Progress::default()).unwrap();
    let counts = report.counts;
    assert!(counts.zero > 3_900_000, "holes are not read: {counts:?}");
    assert_eq!((counts.data + counts.zero, counts.unproved), (SIZE, counts.data));
}

#[test]
fn damage_below_costs_what_is_around_it() {
    let mut lower = lower();
    let model = lower.bytes.clone();
    lower.lost.push(700_000..700_001);
    let overlay = Overlay::temporary(&std::env::temp_dir(), Arc::new(lower)).unwrap();
    let volume = volume(Box::new(overlay));
    let sink = MemorySink::new(SIZE);
    let report = run(&volume, 0..SIZE, &sink, &salvage(2, 0xAA), &Progress::default()).unwrap();
    let [damage] = report.damage.as_slice() else { panic!("{:?}", report.damage) };
    assert!(damage.range.contains(&700_000) && damage.range.end - damage.range.start <= 64 << 10);
    let text = damage.cause.to_string();
    assert!(text.contains("overlay-file") && text.contains("lower"), "{text}");
    let mut expected = model;
    expected[indices(&damage.range)].fill(0xAA);
    same(&sink.into_bytes(&(0..SIZE)), &expected, 0);
}
