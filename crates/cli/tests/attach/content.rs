//! What is read through the file and the device is the volume.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use libtest_mimic::Trial;

use crate::support::attachment::{ATTACH, Attachment, attach};
use crate::support::hash::same_sha256;
use crate::support::layout::Layout;
use crate::support::needs::{Need, trial};
use crate::support::noise::noise;
use crate::support::run::Call;
use crate::support::sample::{Captured, Sample};
use crate::support::scratch::{self, Scratch};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let mut needs = ATTACH.to_vec();
    needs.push(Need::Tool("blockdev"));
    vec![
        trial("file_and_device_are_the_volume", &needs, file_and_device),
        trial("the_newest_of_two_generations", &needs, newest_generation),
        trial("eight_readers_at_once_with_little_cache", &needs, eight_readers),
        trial("the_device_has_the_sectors_of_the_set", &needs, sectors),
        trial("a_copy_of_the_file_stays_sparse", &needs, sparse_copy),
        trial("raw_members_are_attached_too", &needs, raw_members),
        trial("an_odd_size_loses_nothing_in_the_file", &needs, odd_size),
    ]
}

fn is_volume(attachment: &Attachment, truth: &Path) -> Outcome {
    let (file, device) = (attachment.file()?, attachment.device()?);
    same_sha256("the file", &file, truth)?;
    tool::same_bytes(&file, truth)?;
    tool::same_bytes(&device, truth)
}

fn blockdev(attachment: &Attachment, what: &str) -> Outcome<String> {
    let text = tool::run("blockdev", [Path::new(what), &attachment.device()?])?;
    Ok(text.trim().to_owned())
}

fn file_and_device() -> Outcome {
    let stage = Stage::new()?;
    let attachment = Attachment::of(&stage.sets)?;
    is_volume(&attachment, &stage.sample.logical)?;
    let file = attachment.file()?;
    ensure!(scratch::mode(&file)? == 0o600, "mode {:o}", scratch::mode(&file)?);
    ensure!(blockdev(&attachment, "--getro")? == "1", "the device can be written to");
    let size = blockdev(&attachment, "--getsize64")?;
    ensure!(size == scratch::len(&stage.sample.logical)?.to_string(), "{size} bytes");
    let written = std::fs::OpenOptions::new().write(true).open(&file);
    ensure!(written.is_err(), "the file can be opened for writing");
    attachment.detach_cleanly()
}

fn newest_generation() -> Outcome {
    let stage = Stage::new()?;
    let (sample, _) = stage.next_generation("dsnap-0b", 3)?;
    let newest = Attachment::of(&stage.sets)?;
    let first = Attachment::by(|name| attach(&stage.sets, name).option("--generation", "0"))?;
    is_volume(&newest, &sample.logical)?;
    is_volume(&first, &stage.sample.logical)?;
    newest.detach_cleanly()?;
    is_volume(&first, &stage.sample.logical)?;
    first.detach_cleanly()
}

fn eight_readers() -> Outcome {
    let stage = Stage::new()?;
    let attachment = Attachment::by(|name| attach(&stage.sets, name).option("--cache", "256K"))?;
    let (file, device) = (attachment.file()?, attachment.device()?);
    let readers: Vec<_> = (0..8)
        .map(|nth| {
            let found = if nth % 2 == 0 { file.clone() } else { device.clone() };
            let truth = stage.sample.logical.clone();
            thread::spawn(move || {
                let read = || tool::same_bytes(&found, &truth);
                (0..5).try_for_each(|_| read()).map_err(|e| e.message().unwrap_or("?").to_owned())
            })
        })
        .collect();
    for reader in readers {
        reader.join().map_err(|_| "a reader panicked")??;
    }
    attachment.detach_cleanly()
}

fn sectors() -> Outcome {
    let scratch = Scratch::new()?;
    let layout = Layout::new().linear(1 << 20, ("vol-a", 0));
    let sample = Sample::make(&scratch.path("members"), layout, 9)?;
    let sets = scratch.dir("sets")?;
    Captured::of(&sample.capture(&sets, "dsnap-4k").option("--sector-size", "4096"))?;
    let attachment = Attachment::of(&sets)?;
    ensure!(blockdev(&attachment, "--getss")? == "4096", "not sectors of 4096 bytes");
    ensure!(attachment.document["sector_size"] == 4096, "{}", attachment.document);
    is_volume(&attachment, &sample.logical)?;
    attachment.detach_cleanly()
}

fn sparse_copy() -> Outcome {
    let scratch = Scratch::new()?;
    let layout = Layout::new().linear(64 << 20, ("vol-a", 0));
    let logical = scratch.path("logical.img");
    let image = scratch::set_len(&logical, 64 << 20)?;
    for at in [0, 17 << 20, (64 << 20) - 4096] {
        std::os::unix::fs::FileExt::write_all_at(&image, &noise(at, 4096), at)?;
    }
    let sample = Sample::with_file(&scratch.path("members"), layout, logical)?;
    let sets = scratch.dir("sets")?;
    sample.captured(&sets, "dsnap-0a")?;
    let attachment = Attachment::of(&sets)?;
    let copy = scratch.path("copy");
    let flags = ["--sparse=auto", "--reflink=never"].map(Path::new);
    tool::run("cp", flags.into_iter().chain([attachment.file()?.as_path(), &copy]))?;
    tool::same_bytes(&copy, &sample.logical)?;
    let stored = std::fs::metadata(&copy)?.blocks() * 512;
    ensure!(stored <= 1 << 20, "the copy takes {stored} bytes");
    // Holes were asked for, not read.
    let read = attachment.listed()?["status"]["figures"]["bytes_read"].as_u64();
    ensure!(read.is_some_and(|bytes| bytes <= 16 << 20), "{read:?} bytes were read");
    attachment.detach_cleanly()
}

fn raw_members() -> Outcome {
    let stage = Stage::new()?;
    let attachment = Attachment::by(|name| {
        let call = Call::new("attach").option("--name", name);
        let call = call.option("--layout", &stage.sample.layout_file);
        let members = stage.sample.members.iter();
        members.fold(call, |call, (id, path)| call.member(id, path))
    })?;
    is_volume(&attachment, &stage.sample.logical)?;
    ensure!(attachment.document["set_id"].is_null(), "{}", attachment.document);
    attachment.detach_cleanly()
}

/// A raw member may end in the middle of a sector, which a device cannot.
fn odd_size() -> Outcome {
    let scratch = Scratch::new()?;
    let member = scratch.path("member.img");
    scratch::write(&member, &noise(4, 5000))?;
    let call = |name: &str| Call::new("attach").option("--name", name).member("vol-a", &member);
    let attachment = Attachment::by(call)?;
    tool::same_bytes(&attachment.file()?, &member)?;
    ensure!(blockdev(&attachment, "--getsize64")? == "4608", "nine whole sectors");
    let start = scratch.path("start");
    scratch::write(&start, &noise(4, 5000)[..4608])?;
    tool::same_bytes(&attachment.device()?, &start)?;
    attachment.detach_cleanly()
}
