//! The same input gives the same bytes, however many threads made them; and what `--dedup` and
//! `--compact-zeros` are for.

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use libtest_mimic::Arguments;

use support::hash::{same_sha256, sha256};
use support::layout::Layout;
use support::needs::{long, trial};
use support::noise::noise;
use support::run::Call;
use support::sample::{Captured, SOURCE, Sample, pair_gap_and_tail, restore};
use support::scratch::{Scratch, files_below, len, read, set_len};
use support::{Outcome, ensure};

fn main() -> ExitCode {
    let trials = vec![
        trial("same_bytes_plain", &[], || same_bytes(&[])),
        trial("same_bytes_dedup", &[], || same_bytes(&["--dedup"])),
        trial("same_bytes_compact_zeros", &[], || same_bytes(&["--compact-zeros"])),
        trial("same_bytes_both", &[], || same_bytes(&["--dedup", "--compact-zeros"])),
        trial("stream_is_said_truly", &[], stream_is_said_truly),
        trial("dedup_stores_equal_chunks_once", &[], equal_chunks_once),
        trial("compact_zeros_of_a_tebibyte", &[], compact_zeros_of_a_tebibyte),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Noise, repeats, text, zeros and holes: something for each way of storing a chunk.
fn varied(dir: &Path, layout: Layout, seed: u64) -> Outcome<Sample> {
    let mut sample = Sample::make(dir, layout, seed)?;
    let mut image = read(&sample.logical)?;
    let pattern = noise(seed, 65_536);
    for (nth, chunk) in image.chunks_mut(65_536).take(16).enumerate() {
        match nth % 4 {
            1 => chunk.copy_from_slice(&pattern[..chunk.len()]),
            2 => chunk.fill(0),
            3 => chunk.fill(b'x'),
            _ => {}
        }
    }
    sample = Sample::with_image(dir, sample.layout, &image)?;
    Ok(sample)
}

/// Relative path to hash of every file of a set.
fn content(directory: &Path) -> Outcome<BTreeMap<String, String>> {
    let mut content = BTreeMap::new();
    for file in files_below(directory)? {
        let name = file.strip_prefix(directory)?.to_string_lossy().into_owned();
        content.insert(name, sha256(&file)?);
    }
    Ok(content)
}

fn same_bytes(flags: &[&str]) -> Outcome {
    let scratch = Scratch::new()?;
    let layout = if long() {
        Layout::new()
            .striped(64 << 20, 64 << 10, &[("vol-a", 0), ("vol-b", 0)])
            .linear((9 << 20) + 512, ("vol-c", 0))
    } else {
        pair_gap_and_tail()
    };
    let parent = varied(&scratch.path("members-0"), layout.clone(), 1)?;
    let mut image = read(&parent.logical)?;
    image[100_000..250_000].copy_from_slice(&noise(2, 150_000));
    let child = Sample::with_image(&scratch.path("members-1"), layout, &image)?;
    let mut first: Option<[BTreeMap<String, String>; 2]> = None;
    for jobs in ["1", "2", "5", "1"] {
        let out = scratch.dir("out")?;
        let capture = |sample: &Sample, set_id: &str| {
            let call = sample.capture(&out, set_id).option("--source-volume", SOURCE);
            call.option("--time", "2024-06-01T00:00:00Z").option("-j", jobs).args(flags)
        };
        let full = Captured::of(&capture(&parent, "dsnap-0a").option("--chunk-size", "16K"))?;
        let next = Captured::of(&capture(&child, "dsnap-1a").option("--parent", &out))?;
        let made = [content(&full.directory)?, content(&next.directory)?];
        for (number, truth) in [&parent, &child].into_iter().enumerate() {
            let target = scratch.path("volume.img");
            let call = restore(&[&out], &target).option("--generation", number.to_string());
            call.arg("--force").option("-j", jobs).succeeds()?;
            same_sha256(&format!("{flags:?} -j {jobs}"), &target, &truth.logical)?;
        }
        std::fs::remove_dir_all(&out)?;
        match &first {
            None => first = Some(made),
            Some(first) => ensure!(*first == made, "-j {jobs} differs:\n{first:#?}\n{made:#?}"),
        }
    }
    Ok(())
}

/// Only a full snapshot with nothing left out is a stream; capture and inspect say the same, and stock zstd
/// agrees.
fn stream_is_said_truly() -> Outcome {
    let scratch = Scratch::new()?;
    let sample = varied(&scratch.path("members"), pair_gap_and_tail(), 1)?;
    for (flags, stream) in [
        (vec![], true),
        (vec!["--dedup"], false),
        (vec!["--compact-zeros"], false),
        (vec!["--dedup", "--compact-zeros"], false),
    ] {
        let out = scratch.dir("out")?;
        let call = sample.capture(&out, "dsnap-0a").args(&flags).option("--chunk-size", "16K");
        let full = Captured::of(&call.option("--source-volume", SOURCE))?;
        let call = sample.capture(&out, "dsnap-1a").args(&flags).option("--parent", &out);
        let next = Captured::of(&call.option("--source-volume", SOURCE))?;
        for (number, set, expected) in [(0, &full, stream), (1, &next, false)] {
            ensure!(set.files.iter().all(|f| f.stream == expected), "{flags:?}: {:?}", set.files);
            let call = Call::new("inspect").arg(&out).option("--generation", number.to_string());
            let inspect = call.json()?;
            let files = inspect["files"].as_array().cloned().unwrap_or_default();
            let all = files.iter().filter(|f| {
                f["path"].as_str().is_some_and(|p| p.contains(&format!("dsnap-{number}a")))
            });
            let said: Vec<bool> = all.filter_map(|f| f["stream"].as_bool()).collect();
            ensure!(said == [expected; 3], "{flags:?} generation {number}: {inspect}");
        }
        std::fs::remove_dir_all(&out)?;
    }
    Ok(())
}

fn equal_chunks_once() -> Outcome {
    let scratch = Scratch::new()?;
    // 64 times the same 64 KiB of noise, and one odd chunk among them.
    let mut image = noise(5, 65_536).repeat(64);
    image[40 * 65_536 + 9] ^= 1;
    let layout = Layout::new().linear(image.len() as u64, ("vol-a", 0));
    let sample = Sample::with_image(&scratch.path("members"), layout, &image)?;
    let mut sizes = Vec::new();
    for flag in [None, Some("--dedup")] {
        let out = scratch.dir(flag.unwrap_or("plain"))?;
        let call = sample.capture(&out, "dsnap-0a").option("--chunk-size", "64K").args(flag);
        let set = Captured::of(&call)?;
        let file = set.file("vol-a")?;
        sizes.push(len(&file.path)?);
        if flag.is_some() {
            ensure!(file.chunks["data"] == 2 && file.chunks["reused"] == 62, "{file:?}");
        }
        let target = scratch.path("volume.img");
        restore(&[&out], &target).arg("--force").succeeds()?;
        same_sha256(&format!("{flag:?}"), &target, &sample.logical)?;
    }
    ensure!(sizes[0] > 64 * 65_536, "noise does not compress: {sizes:?}");
    ensure!(sizes[1] < 4 * 65_536, "two chunks should be stored: {sizes:?}");
    Ok(())
}

fn compact_zeros_of_a_tebibyte() -> Outcome {
    let scratch = Scratch::new()?;
    let member = scratch.path("vol-a.raw");
    let size = 1 << 40;
    let file = set_len(&member, size)?;
    let places = [0, 123_456_789_000, (1 << 39) + 4096, size - 5000];
    for (nth, at) in places.into_iter().enumerate() {
        file.write_all_at(&noise(nth as u64, 5000), at)?;
    }
    drop(file);
    let out = scratch.dir("out")?;
    let started = Instant::now();
    let call = Call::new("capture")
        .option("-o", &out)
        .member("vol-a", &member)
        .option("--set-id", "dsnap-0a")
        .arg("--compact-zeros");
    let set = Captured::of(&call)?;
    let took = started.elapsed();
    ensure!(took < Duration::from_secs(60), "took {took:?}\n{}", call.line());
    let file = set.file("vol-a")?;
    let stored = len(&file.path)?;
    ensure!(stored < 1 << 20, "{stored} bytes for 20 KB of data");
    ensure!(!file.stream, "not a stream: {file:?}");
    let inspect = Call::new("inspect").arg(&out).json()?;
    ensure!(inspect["files"][0]["stream"] == false, "{inspect}");
    ensure!(inspect["set"]["logical_size"] == size, "{inspect}");
    Call::new("verify").arg(&out).succeeds().map(drop)
}
