//! Damage is an error for the bytes it touches, and for no others.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use libtest_mimic::Trial;
use rustix::fs::OFlags;

use crate::support::attachment::{ATTACH, Attachment};
use crate::support::frames::{Anatomy, middle};
use crate::support::mapfile;
use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::sample::Captured;
use crate::support::scratch::{self, flip_bit};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure};

const PAGE: usize = 4096;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("damage_is_an_error_for_its_bytes_alone", &ATTACH, damage),
        trial("bad_sectors_of_a_raw_member_cost_themselves_alone", &ATTACH, bad_sectors),
    ]
}

fn damage() -> Outcome {
    let stage = Stage::new()?;
    let member = stage.file("vol-b")?;
    let anatomy = Anatomy::of(&member)?;
    let frame = anatomy.data().nth(3).ok_or("not so many data frames")?;
    let bad = stage.sample.layout.logical_ranges("vol-b", &frame.plain);
    ensure!(!bad.is_empty(), "the frame is nowhere in the volume");
    flip_bit(&member, middle(frame))?;
    let attachment = Attachment::of(&stage.sets)?;
    let truth = scratch::read(&stage.sample.logical)?;
    is_bad_there_alone(&attachment.file()?, &truth, &bad)?;
    is_bad_there_alone(&attachment.device()?, &truth, &bad)?;
    let listed = attachment.listed()?;
    let figures = &listed["status"]["figures"];
    ensure!(figures["damaged"] == 1 && figures["failed_reads"].as_u64() > Some(0), "{listed}");
    let log = scratch::read(&Path::new("/run/snaprestore").join(&attachment.name).join("log"))?;
    let log = String::from_utf8_lossy(&log).into_owned();
    let name = member.to_string_lossy();
    ensure!(log.contains(&*name) && log.contains("chunk"), "the log does not say where: {log}");
    attachment.detach_cleanly()
}

/// Every page is the truth, or an error where it is bad; so is every larger read, whatever its place. Devices are
/// read past the page cache, which may give an error where it only read ahead.
fn is_bad_there_alone(path: &Path, truth: &[u8], bad: &[Range<u64>]) -> Outcome {
    let is_device = path.starts_with("/dev");
    let flags = if is_device { OFlags::DIRECT } else { OFlags::empty() };
    let flags = flags.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    for length in [PAGE, 5 * PAGE, 1 << 20] {
        // Direct I/O wants whole pages at their boundaries.
        let mut room = vec![0; length + PAGE];
        let start = room.as_ptr().align_offset(PAGE);
        let buffer = &mut room[start..start + length];
        for (nth, expected) in truth.chunks(length).enumerate() {
            let at = (nth * length) as u64;
            let is_bad = touches(bad, &(at..at + expected.len() as u64));
            let found = &mut buffer[..expected.len()];
            match file.read_exact_at(found, at) {
                Ok(()) => {
                    ensure!(!is_bad, "{}: no error at {at}", path.display());
                    ensure!(found == expected, "{}: wrong bytes at {at}", path.display());
                }
                Err(error) => {
                    ensure!(is_bad, "{}: {error} at {at}", path.display());
                    let code = error.raw_os_error();
                    ensure!(code == Some(rustix::io::Errno::IO.raw_os_error()), "{error}");
                }
            }
        }
    }
    Ok(())
}

fn touches(bad: &[Range<u64>], read: &Range<u64>) -> bool {
    bad.iter().any(|bad| bad.start < read.end && read.start < bad.end)
}

/// A medium with bad sectors: the raw file of an attached set of which some chunks of a page are damaged. All that
/// reads it as a raw member loses these pages, and not a byte beside them.
fn bad_sectors() -> Outcome {
    let stage = Stage::new()?;
    let sets = stage.scratch.path("pages");
    let call = Call::new("capture").member("vol", &stage.sample.logical).option("-o", &sets);
    let set = Captured::of(&call.option("--chunk-size", "4K"))?;
    let snapshot = &set.file("vol")?.path;
    let mut bad: Vec<Range<u64>> = Vec::new();
    // Two that follow each other, and one further on.
    for nth in [3, 4, 40] {
        let anatomy = Anatomy::of(snapshot)?;
        let frame = anatomy.data().nth(nth).ok_or("not so many data frames")?;
        match bad.last_mut() {
            Some(last) if last.end == frame.plain.start => last.end = frame.plain.end,
            _ => bad.push(frame.plain.clone()),
        }
        flip_bit(snapshot, middle(frame))?;
    }
    let medium = Attachment::of(&sets)?;
    let truth = scratch::read(&stage.sample.logical)?;
    let out = stage.target();
    let map = stage.out.join("map");
    let restore = Call::new("restore").member("vol", &medium.file()?).arg("--salvage");
    let report = restore.option("-o", &out).option("--map", &map).json_exits(3)?;
    let lost: Vec<_> =
        bad.iter().map(|range| serde_json::json!([range.start, range.end])).collect();
    let found: Vec<_> = report["damage"].as_array().into_iter().flatten().collect();
    let found: Vec<_> = found.iter().map(|damage| damage["member_range"].clone()).collect();
    ensure!(found == lost, "{lost:?} were bad: {report}");
    ensure!(
        mapfile::bad_ranges(&map, truth.len() as u64)? == bad,
        "the map: {}",
        String::from_utf8_lossy(&scratch::read(&map)?)
    );
    let mut expected = truth.clone();
    for range in &bad {
        expected[usize::try_from(range.start)?..usize::try_from(range.end)?].fill(0);
    }
    ensure!(scratch::read(&out)? == expected, "what is good is not all there");
    let file = medium.file()?;
    let over = Attachment::by(|name| {
        Call::new("attach").member("vol", &file).option("--name", name).option("--cache", "1")
    })?;
    is_bad_there_alone(&over.file()?, &truth, &bad)?;
    over.detach_cleanly()?;
    medium.detach_cleanly()
}
