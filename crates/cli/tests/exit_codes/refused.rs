//! 5: the target is refused before anything is written.

use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;

use libtest_mimic::Trial;

use crate::support::frames::{Anatomy, middle};
use crate::support::hash::Census;
use crate::support::loopmount::LoopDevice;
use crate::support::needs::{LOOP_MOUNT, Need, trial};
use crate::support::run::Call;
use crate::support::sample::restore;
use crate::support::scratch::{flip_bit, make_dir, read, set_len, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, hash, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let device: Vec<Need> = LOOP_MOUNT.iter().copied().chain([Need::Tool("mknod")]).collect();
    vec![
        trial("code_5_existing_file_without_force", &[], existing_file),
        trial("code_5_directory", &[], directory),
        trial("code_5_name_too_long", &[], long_names),
        trial("code_5_fifo", &[Need::Tool("mkfifo")], fifo),
        trial("code_5_block_device", &device, block_device),
        trial("code_5_one_of_the_sources", &[], one_of_the_sources),
        trial("code_5_link_to_a_source", &[], link_to_a_source),
        trial("code_5_the_map_of_a_salvage", &[], map_refused),
        trial("code_5_goes_before_4", &[], before_damage),
        trial("code_5_what_another_journal_counts_on", &[], another_journal),
        trial("code_5_captured_set_exists", &[], captured_set_exists),
        trial("code_5_rebuild_onto_a_file", &[], rebuild_onto_a_file),
    ]
}

fn existing_file() -> Outcome {
    let stage = Stage::new()?;
    write(&stage.target(), b"precious")?;
    stage.refuses(stage.restore(), 5, &["volume.img", "--force"])?;
    // An empty file is a file.
    write(&stage.target(), b"")?;
    stage.refuses(stage.restore(), 5, &["volume.img", "--force"])
}

fn directory() -> Outcome {
    let stage = Stage::new()?;
    make_dir(&stage.target())?;
    stage.refuses(stage.restore(), 5, &["volume.img", "directory"])?;
    stage.refuses(stage.restore().arg("--force"), 5, &["volume.img", "directory"])?;
    for name in [".", "..", "./volume.img/.."] {
        for command in ["restore", "read"] {
            let call = Call::new(command).arg(&stage.sets).option("-o", name);
            stage.refuses(call, 5, &["is a directory", "name a file in it"])?;
        }
    }
    Ok(())
}

/// The limits are named: that of a name, and what is put around it.
fn long_names() -> Outcome {
    let stage = Stage::new()?;
    for (command, length) in [("restore", 247), ("restore", 300), ("read", 300)] {
        let target = stage.out.join("x".repeat(length));
        let call = Call::new(command).arg(&stage.sets).option("-o", &target);
        stage.refuses(call, 5, &["too long", "255 bytes", "246"])?;
    }
    let target = stage.out.join("x".repeat(246));
    Call::new("restore").arg(&stage.sets).option("-o", &target).succeeds()?;
    Ok(())
}

/// `--force` replaces files; a fifo is not one, and opening it could wait for ever.
fn fifo() -> Outcome {
    let stage = Stage::new()?;
    tool::run("mkfifo", [stage.target()])?;
    for call in [stage.restore(), stage.restore().arg("--force")] {
        stage.refuses(call.within("exec timeout 60"), 5, &["volume.img"])?;
        let kind = std::fs::symlink_metadata(stage.target())?.file_type();
        ensure!(kind.is_fifo(), "the fifo was replaced");
    }
    Ok(())
}

/// A device of our own, reached through a node in the scratch directory: no harm if it were replaced.
fn block_device() -> Outcome {
    let stage = Stage::new()?;
    let image = stage.scratch.path("disk.img");
    drop(set_len(&image, 4 << 20)?);
    let before = hash::sha256(&image)?;
    let device = LoopDevice::attach(&image, false)?;
    let number = std::fs::metadata(device.path())?.rdev();
    let node = stage.target();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let words = ["b".to_owned(), major.to_string(), minor.to_string()];
    tool::run(
        "mknod",
        std::iter::once(node.clone().into_os_string()).chain(words.map(Into::into)),
    )?;
    for call in [stage.restore(), stage.restore().arg("--force")] {
        stage.refuses(call, 5, &["volume.img", "device"])?;
        let kind = std::fs::symlink_metadata(&node)?.file_type();
        ensure!(kind.is_block_device(), "the device node was replaced");
    }
    drop(device);
    ensure!(hash::sha256(&image)? == before, "the device was written to");
    Ok(())
}

fn one_of_the_sources() -> Outcome {
    let stage = Stage::new()?;
    let (_, child) = stage.next_generation("dsnap-1a", 1)?;
    let all = |target: &Path| restore(&[&stage.sets], target);
    // A file of the set itself, and an ancestor's that is only found on the way.
    for source in [&child.file("vol-a")?.path, &stage.file("vol-c")?] {
        let older = all(source).arg("--force").option("--generation", "0");
        for call in [all(source), all(source).arg("--force"), older] {
            let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
            stage.refuses(call, 5, &[name.as_str()])?;
        }
    }
    // One that was given, and is not even whole: what it was may still be got out of it.
    let scrap = stage.sets.join("scrap.snap");
    write(&scrap, b"what is left of a snapshot")?;
    stage.refuses(all(&scrap).arg("--force").option("--generation", "0"), 5, &["scrap.snap"])
}

/// The map is a target too.
fn map_refused() -> Outcome {
    let stage = Stage::new()?;
    let source = stage.file("vol-b")?;
    flip_bit(&source, middle(Anatomy::of(&source)?.data().next().ok_or("no data")?))?;
    let salvage = |map: &Path| stage.restore().arg("--salvage").option("--map", map);
    stage.refuses(salvage(&stage.out.join("bystander")), 5, &["bystander", "--force"])?;
    stage.refuses(salvage(&source).arg("--force"), 5, &["1-vol-b.snap"])?;
    stage.refuses(salvage(&stage.out).arg("--force"), 5, &["directory"])?;
    // The name it has when none is given.
    let beside = stage.out.join("volume.img.map");
    write(&beside, b"another rescue's")?;
    stage.refuses(stage.restore().arg("--salvage"), 5, &["volume.img.map", "--force"])?;
    stage.restore().arg("--salvage").arg("--force").exits(3)?;
    let replaced = read(&beside)?.starts_with(b"# ");
    ensure!(replaced, "--force did not replace the map");
    let in_place = || stage.restore().args(["--salvage", "--in-place", "--no-journal"]);
    stage.refuses(in_place(), 5, &["volume.img.map", "--force"])?;
    in_place().arg("--force").exits(3)?;
    std::fs::remove_file(stage.target())?;
    let same = stage.out.join("../out/volume.img");
    stage.refuses(salvage(&same), 2, &["volume.img"])
}

/// When several codes apply: 2 and 6 go before 5, and 5 before 4.
fn before_damage() -> Outcome {
    let stage = Stage::new()?;
    let source = stage.file("vol-b")?;
    flip_bit(&source, middle(Anatomy::of(&source)?.footer()))?;
    write(&stage.target(), b"precious")?;
    stage.refuses(stage.restore(), 5, &["volume.img", "--force"])?;
    stage.refuses(stage.restore().arg("--force"), 4, &["1-vol-b.snap"])?;
    let in_place = || stage.restore().arg("--in-place");
    stage.refuses(in_place().option("--expect-size", "1"), 5, &["volume.img", "8 bytes"])?;
    stage.refuses(in_place(), 4, &["1-vol-b.snap"])?;
    std::fs::remove_file(stage.file("vol-a")?)?;
    stage.refuses(stage.restore(), 6, &["vol-a"])
}

/// What a journal says is done must not be overwritten behind its back.
fn another_journal() -> Outcome {
    let stage = Stage::new()?;
    write(&stage.target(), b"precious")?;
    let journal = |suffix: &str| stage.out.join(format!(".volume.img.journal{suffix}"));
    let in_place = || stage.restore().arg("--in-place");
    for (there, call) in [
        ("", in_place().arg("--no-journal")),
        ("", in_place().option("--journal", stage.out.join("other"))),
        ("-1-of-2", in_place()),
    ] {
        write(&journal(there), b"")?;
        stage.refuses(call, 5, &["volume.img.journal", "--restart"])?;
        std::fs::remove_file(journal(there))?;
    }
    // Of something else with a similar name.
    write(&journal(".journal"), b"")?;
    write(&journal("-1-of-2"), b"")?;
    in_place().arg("--restart").succeeds()?;
    ensure!(!journal("-1-of-2").exists() && journal(".journal").exists(), "not what was given up");
    // Another part of the same division is no stranger.
    write(&journal("-1-of-2"), b"")?;
    in_place().option("--shard", "2/2").succeeds()?;
    stage.refuses(in_place().option("--shard", "2/3"), 5, &["journal-1-of-2"])
}

/// Whether a link to a source is refused or replaced, the source stays.
fn link_to_a_source() -> Outcome {
    let stage = Stage::new()?;
    let source = stage.file("vol-a")?;
    let before = Census::take(&[&stage.sets])?;
    symlink(&source, stage.target())?;
    let ran = stage.restore().exits(5)?;
    before.unchanged(&ran.describe())?;
    let ran = stage.restore().arg("--force").run()?;
    before.unchanged(&ran.describe())?;
    let code = ran.status.code();
    ensure!(code == Some(5) || code == Some(0), "exit code {code:?}\n{}", ran.describe());
    Ok(())
}

fn captured_set_exists() -> Outcome {
    let stage = Stage::new()?;
    let call = stage.sample.capture(&stage.sets, "dsnap-0a");
    stage.refuses(call, 5, &["dsnap-0a"])?;
    // Whatever has that name.
    write(&stage.out.join("dsnap-0b"), b"a file")?;
    stage.refuses(stage.sample.capture(&stage.out, "dsnap-0b"), 5, &["dsnap-0b"])
}

fn rebuild_onto_a_file() -> Outcome {
    let stage = Stage::new()?;
    let taken = stage.out.join("bystander");
    let call = Call::new("rebuild").arg(stage.file("vol-a")?).option("-o", &taken);
    let call = call.option("--sibling", stage.file("vol-b")?);
    stage.refuses(call.option("--sibling", stage.file("vol-c")?), 5, &["bystander"])
}
