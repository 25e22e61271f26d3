//! Members that were copied at different moments: each is sound, and what is over them is not. A warning says so,
//! and nothing is said of copies of one moment, not even of one in the midst of heavy writing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::image::Filesystem;
use crate::support::layout::Layout;
use crate::support::loopmount::LoopMount;
use crate::support::run::Call;
use crate::support::scratch::{self, Scratch};
use crate::support::{Outcome, ensure, split, tool};

const STRIPE: u64 = 64 << 10;
const SIZE: u64 = 320 << 20;
const TOLD: &str = "copies of different moments";

/// The members of a volume at one moment.
type Copies = BTreeMap<String, PathBuf>;

pub(crate) fn are_told(filesystem: Filesystem) -> Outcome {
    let scratch = Scratch::new()?;
    let (image, mount_at) = (scratch.path("filesystem.img"), scratch.path("mounted"));
    filesystem.make(&image, SIZE, &scratch.dir("empty")?, &mount_at)?;
    let mut moments = Vec::new();
    for moment in 0..2 {
        let mount = LoopMount::read_write(&image, &mount_at)?;
        work(mount.dir(), moment)?;
        mount.unmount()?;
        moments.push(copies(&scratch, &image, &moment.to_string())?);
    }
    moments.push(in_the_midst(&scratch, &image, &mount_at)?);

    for copies in &moments {
        let said =
            of("plan", copies, copies).option("-o", scratch.path("none.img")).exits(0)?.stderr;
        ensure!(!said.contains("warning"), "copies of one moment are doubted: {said}");
    }
    for (one, other) in [(0, 1), (1, 0)] {
        is_told(&scratch, &moments[one], &moments[other])?;
    }
    Ok(())
}

/// Every command that reads the volume says so, once, and goes on.
fn is_told(scratch: &Scratch, one: &Copies, other: &Copies) -> Outcome {
    let (target, set) = (scratch.path("restored.img"), scratch.dir("set")?);
    drop(std::fs::remove_dir_all(&set));
    drop(std::fs::remove_file(&target));
    let report = of("plan", one, other).option("-o", &target).json()?;
    let captured = of("capture", one, other).option("-o", &set).json()?;
    for report in [report, captured] {
        let warnings = report["warnings"].as_array().ok_or("no warnings")?;
        ensure!(warnings.len() == 1 && warnings[0].to_string().contains(TOLD), "{warnings:?}");
    }
    let calls = [
        of("inspect", one, other),
        of("verify", one, other),
        of("restore", one, other).option("-o", &target).arg("--force"),
        Call::new("inspect").arg(&set),
        Call::new("verify").arg(&set),
        Call::new("read").arg(&set).option("--length", "1"),
    ];
    for call in calls {
        let said = call.exits(0)?.stderr;
        ensure!(said.matches(TOLD).count() == 1, "{call:?}: {said}");
    }
    Ok(())
}

fn of(command: &str, one: &Copies, other: &Copies) -> Call {
    let call = Call::new(command).option("--stripe", "64K");
    call.member("vol-a", &one["vol-a"]).member("vol-b", &other["vol-b"])
}

/// Files made and removed, with all that a journal or log has to write for it.
fn work(dir: &Path, moment: u32) -> Outcome {
    for round in 0..24 {
        for file in 0..400 {
            let parent = dir.join(format!("d{}", file % 40));
            std::fs::create_dir_all(&parent)?;
            scratch::write(&parent.join(format!("{moment}-{}-{file}", round % 3)), &[7; 3000])?;
        }
        tool::run("sync", [Path::new("-f"), dir])?;
        for file in (0..400).step_by(3) {
            let name = format!("d{}/{moment}-{}-{file}", file % 40, round % 3);
            std::fs::remove_file(dir.join(name))?;
        }
        tool::run("sync", [Path::new("-f"), dir])?;
    }
    Ok(())
}

/// The members as they are when the filesystem is cut off while much is being written.
fn in_the_midst(scratch: &Scratch, image: &Path, mount_at: &Path) -> Outcome<Copies> {
    let mount = LoopMount::read_write(image, mount_at)?;
    std::thread::scope(|scope| {
        // It ends when nothing can be written any more.
        let writers = [2, 3].map(|moment| {
            let dir = mount.dir();
            scope.spawn(move || while work(dir, moment).is_ok() {})
        });
        std::thread::sleep(std::time::Duration::from_secs(2));
        let cut = ["-x", "-c", "shutdown"].map(Path::new);
        let cut = tool::run("xfs_io", cut.into_iter().chain([mount.dir()]));
        for writer in writers {
            drop(writer.join());
        }
        cut
    })?;
    let copies = copies(scratch, image, "cut")?;
    mount.unmount()?;
    Ok(copies)
}

fn copies(scratch: &Scratch, image: &Path, name: &str) -> Outcome<Copies> {
    let layout = Layout::new().striped(SIZE, STRIPE, &[("vol-a", 0), ("vol-b", 0)]);
    split::split(image, &layout, &scratch.dir(&format!("copies-{name}"))?)
}
