//! `plan` and `--dry-run`: what the restore would say, and nothing done.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::support::disk::{Disk, LOOP};
use crate::support::frames::{Anatomy, middle};
use crate::support::hash::{Census, same_sha256};
use crate::support::image::Filesystem;
use crate::support::layout::Layout;
use crate::support::loopmount::{LoopMount, Tmpfs};
use crate::support::needs::{LOOP_MOUNT, Need, trial};
use crate::support::noise::noise;
use crate::support::run::Call;
use crate::support::scratch::{Scratch, flip_bit, make_dir, read, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let unshare = [&LOOP_MOUNT[..], &[Need::Tool("unshare")]].concat();
    vec![
        trial("a_plan_of_a_new_file", &[], new_file),
        trial("a_plan_of_what_is_overwritten", &LOOP, overwritten),
        trial("a_plan_makes_no_state_directory", &unshare, no_state_directory),
        trial("a_plan_fails_as_the_restore", &[], fails_alike),
        trial("a_plan_fails_as_the_restore_of_a_device", &LOOP, device_fails_alike),
        trial("a_plan_fails_for_what_is_left", &[], left_in_the_way),
        trial("a_plan_names_no_less_memory_than_is_taken", &[Need::Tool("time")], memory),
        trial("a_plan_onto_a_full_filesystem", &LOOP_MOUNT, full_filesystem),
        trial("a_plan_of_too_large_a_file", &Filesystem::Ext4.needs(), too_large_a_file),
    ]
}

/// The three calls that must agree, the harmless ones first.
fn calls(refine: impl Fn(Call) -> Call) -> [Call; 3] {
    let dry = refine(Call::new("restore")).arg("--dry-run");
    [refine(Call::new("plan")), dry, refine(Call::new("restore"))]
}

/// All paths below a directory, directories and hidden files among them.
fn entries(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        found.push(entry.path());
        if entry.file_type()?.is_dir() {
            found.extend(entries(&entry.path())?);
        }
    }
    found.sort();
    Ok(found)
}

/// Plans both ways; nothing comes, goes or changes. Gives the plan.
fn plans(stage: &Stage, refine: impl Fn(Call) -> Call) -> Outcome<serde_json::Value> {
    let [plan, dry, _] = calls(refine);
    let census = Census::take(&[stage.scratch.root()])?;
    let before = entries(stage.scratch.root())?;
    let documents = [plan.json()?, dry.json()?];
    census.unchanged(&plan.line())?;
    let after = entries(stage.scratch.root())?;
    ensure!(after == before, "{before:?} became {after:?}: {}", plan.line());
    let text = plan.succeeds()?.stdout;
    ensure!(text.starts_with(b"go: "), "{:?}", String::from_utf8_lossy(&text));
    let [plan, dry] = documents;
    for field in ["go", "target", "range", "needed_bytes", "overwrites", "bytes"] {
        ensure!(plan[field] == dry[field], "{field} differs: {plan} {dry}");
    }
    ensure!(plan["go"] == true, "{plan}");
    let seconds = plan["decode_seconds"].as_f64();
    ensure!(seconds.is_some_and(|s| (0.0..60.0).contains(&s)), "{plan}");
    ensure!(plan["memory"].as_u64() > Some(1 << 16), "{plan}");
    ensure!(plan["decode_bytes_per_second"].as_u64() > Some(1 << 16), "{plan}");
    Ok(plan)
}

fn new_file() -> Outcome {
    let stage = Stage::new()?;
    let size = stage.sample.layout.logical_size();
    let whole = plans(&stage, |call| call.arg(&stage.sets).option("-o", stage.target()))?;
    ensure!(whole["target_size"] == size && whole["overwrites"].is_null(), "{whole}");
    ensure!(whole["bytes"]["unmapped"] == 256 << 10, "{whole}");
    ensure!(whole["needed_bytes"] == whole["bytes"]["data"], "{whole}");
    ensure!(whole["available_bytes"].as_u64() > whole["needed_bytes"].as_u64(), "{whole}");
    for (flags, needed, target_size) in [
        (&["--preallocate", "--size", "4M"][..], Some(4 << 20), 4 << 20),
        (&["--offset", "64K", "--length", "64K"], Some(64 << 10), 64 << 10),
        (&["--no-journal"], None, size),
    ] {
        let plan =
            plans(&stage, |call| call.arg(&stage.sets).option("-o", stage.target()).args(flags))?;
        let expected = needed.map_or(whole["needed_bytes"].clone(), Into::into);
        ensure!(plan["needed_bytes"] == expected, "{flags:?}: {plan}");
        ensure!(plan["target_size"] == target_size, "{flags:?}: {plan}");
    }
    // What was said is what comes.
    let report = stage.restore().json()?;
    for field in ["data", "zero", "hole", "unmapped"] {
        ensure!(report["bytes"][field] == whole["bytes"][field], "{field}: {report} {whole}");
    }
    ensure!(report["stored_bytes"] == whole["stored_bytes"], "{report} {whole}");
    Ok(())
}

/// Whatever the shape of the volume, and whatever is asked of the restore.
fn memory() -> Outcome {
    let scratch = Scratch::new()?;
    let out = scratch.path("volume.img");
    for (columns, chunk, stripe) in
        [(1, "16M", None), (4, "16M", Some("512")), (16, "1M", Some("512")), (64, "4K", Some("4K"))]
    {
        let dir = scratch.dir(&format!("{columns}-columns"))?;
        let mut raw = Call::new("restore");
        for n in 0..columns {
            let member = dir.join(format!("{n}.raw"));
            write(&member, &noise(n, (32 << 20) / usize::try_from(columns)?))?;
            raw = raw.member(&format!("vol-{n}"), &member);
        }
        raw = raw.args(stripe.iter().flat_map(|stripe| ["--stripe", stripe]));
        let sets = dir.join("sets");
        let capture = raw.clone().instead("capture").option("-o", &sets);
        capture.option("--chunk-size", chunk).succeeds()?;
        let set = Call::new("restore").arg(&sets);
        let (many, compared) = (["-j", "6"], ["--verify-target", "--force"]);
        let kept = ["--delta", "--in-place"];
        for call in [
            raw.arg("--force"),
            set.clone().arg("--force"),
            set.clone().args(many).arg("--force"),
            set.clone().args(compared),
            set.args(kept),
        ] {
            let call = call.option("-o", &out);
            let plan = call.clone().instead("plan").json()?;
            let promised = plan["memory"].as_u64().unwrap_or(0) >> 10;
            let peak = scratch.path("peak");
            let timed = format!("exec {} -f %M -o {}", time()?, peak.display());
            let ran = call.within(&timed).succeeds()?;
            let taken: u64 = String::from_utf8(read(&peak)?)?.trim().parse()?;
            ensure!(taken <= promised, "{taken} KiB, {promised} promised: {}", ran.describe());
        }
    }
    Ok(())
}

fn time() -> Outcome<String> {
    let time = tool::find("time").ok_or("time(1) is not there")?;
    Ok(time.display().to_string())
}

fn overwritten() -> Outcome {
    let stage = Stage::new()?;
    let disk = Disk::dirty(&stage.scratch, 2 << 20)?;
    write(&stage.target(), &noise(2, 4096))?;
    for target in [disk.path(), &stage.target()] {
        let before = read(target)?;
        let plan = plans(&stage, |call| {
            let call = call.arg(&stage.sets).option("-o", target).arg("--in-place");
            call.option("--journal", stage.scratch.path("journal"))
        })?;
        let overwrites = plan["overwrites"].as_str().unwrap_or_default();
        let name = target.display().to_string();
        let said = overwrites.starts_with(&name) && overwrites.ends_with(": unknown data");
        ensure!(said, "{plan}");
        ensure!(plan["sector_size"] == 512, "{plan}");
        ensure!(read(target)? == before, "{} was written to", target.display());
    }
    Ok(())
}

/// The journal of a device is in a directory of the system by default. It is made when it is needed.
fn no_state_directory() -> Outcome {
    let stage = Stage::new()?;
    let disk = Disk::dirty(&stage.scratch, 2 << 20)?;
    let list = stage.scratch.path("list");
    let private = format!(
        "unshare -m sh -c 'mount -t tmpfs none /var/lib && \"$@\"; code=$?; \
         ls -A /var/lib >{} && exit $code' sh",
        list.display()
    );
    // Quoted twice over, for it is shell text within shell text.
    let [plan, dry, restore] = calls(|call| {
        call.arg(&stage.sets).option("-o", disk.path()).arg("--in-place").within(&private)
    });
    for call in [plan, dry] {
        call.succeeds()?;
        let made = read(&list)?;
        ensure!(made.is_empty(), "{:?} by {}", String::from_utf8_lossy(&made), call.line());
    }
    restore.succeeds()?;
    let made = read(&list)?;
    ensure!(made == b"snaprestore\n", "{:?}", String::from_utf8_lossy(&made));
    Ok(())
}

/// All three calls fail with this code and these words.
fn all_refuse(stage: &Stage, code: i32, words: &[&str], refine: impl Fn(Call) -> Call) -> Outcome {
    for call in calls(refine) {
        let before = entries(stage.scratch.root())?;
        let line = call.line();
        stage.refuses(call, code, words)?;
        let after = entries(stage.scratch.root())?;
        ensure!(after == before, "{before:?} became {after:?}: {line}");
    }
    Ok(())
}

fn fails_alike() -> Outcome {
    let stage = Stage::new()?;
    let target = stage.target();
    let plain = |call: Call| call.arg(&stage.sets).option("-o", &target);
    all_refuse(&stage, 2, &["--size"], |call| plain(call).option("--size", "1M"))?;
    all_refuse(&stage, 2, &["--delta"], |call| plain(call).arg("--delta"))?;
    all_refuse(&stage, 2, &["-o"], |call| call.arg(&stage.sets))?;

    write(&target, b"precious")?;
    all_refuse(&stage, 5, &["volume.img", "--force"], plain)?;
    std::fs::remove_file(&target)?;
    make_dir(&target)?;
    all_refuse(&stage, 5, &["volume.img", "a directory"], plain)?;
    std::fs::remove_dir(&target)?;
    let nowhere = stage.out.join("missing/volume.img");
    all_refuse(&stage, 7, &["missing"], |call| call.arg(&stage.sets).option("-o", &nowhere))?;

    let source = stage.file("vol-b")?;
    let sound = read(&source)?;
    let anatomy = Anatomy::of(&source)?;
    for place in [anatomy.index(), anatomy.footer(), anatomy.data().next().ok_or("no data")?] {
        flip_bit(&source, middle(place))?;
        // With one, what is proved when the damage is met would be left for a later run.
        all_refuse(&stage, 4, &["1-vol-b.snap"], |call| plain(call).arg("--no-journal"))?;
        write(&source, &sound)?;
    }
    std::fs::remove_file(&source)?;
    all_refuse(&stage, 6, &["vol-b"], plain)
}

fn device_fails_alike() -> Outcome {
    let stage = Stage::new()?;
    let disk = Disk::dirty(&stage.scratch, 1 << 20)?;
    let onto = |call: Call| {
        let call = call.arg(&stage.sets).option("-o", disk.path()).arg("--in-place");
        call.option("--journal", stage.scratch.path("journal"))
    };
    all_refuse(&stage, 5, &["has 1048576 bytes"], onto)?;
    let words = ["expected 2097152"];
    all_refuse(&stage, 5, &words, |call| onto(call).option("--expect-size", "2M"))?;
    ensure!(read(disk.path())? == disk.old(), "it was written to");
    Ok(())
}

/// What earlier runs have left is in the way of the next one, or it is what that goes on from.
fn left_in_the_way() -> Outcome {
    let stage = Stage::new()?;
    let (temporary, journal) =
        (stage.out.join(".volume.img.partial"), stage.out.join(".volume.img.journal"));
    let plain = |call: Call| call.arg(&stage.sets).option("-o", stage.target());
    write(&temporary, b"of another")?;
    all_refuse(&stage, 5, &[".volume.img.partial", "--restart"], plain)?;
    all_refuse(&stage, 5, &[".volume.img.partial"], |call| plain(call).arg("--no-journal"))?;
    plans(&stage, |call| plain(call).arg("--restart"))?;
    write(&journal, b"my notes")?;
    all_refuse(&stage, 5, &[".volume.img.journal", "not a journal"], plain)?;
    all_refuse(&stage, 5, &["not a journal"], |call| plain(call).arg("--restart"))?;
    std::fs::remove_file(&journal)?;
    std::fs::remove_file(&temporary)?;

    let missing = stage.out.join("missing/journal");
    all_refuse(&stage, 7, &["missing"], |call| plain(call).option("--journal", &missing))?;

    // Damage at the end of the last member, met when the others are done: buffered, where none of them
    // waits for a writer.
    let source = stage.file("vol-c")?;
    let sound = read(&source)?;
    let last = Anatomy::of(&source)?.data().last().map(middle).ok_or("no data")?;
    flip_bit(&source, last)?;
    plain(Call::new("restore")).option("-j", "1").option("--io", "buffered").exits(4)?;
    ensure!(temporary.exists() && journal.exists(), "nothing is left to go on with");
    write(&source, &sound)?;
    let part = |call: Call| plain(call).option("--length", "64K");
    all_refuse(&stage, 5, &["another restore: of bytes"], part)?;
    let resumed = plans(&stage, plain)?["resumed_bytes"].clone();
    let anew = plans(&stage, |call| plain(call).arg("--restart"))?;
    ensure!(anew["resumed_bytes"] == 0, "{anew}");
    let said = String::from_utf8(plain(Call::new("plan")).succeeds()?.stdout)?;
    ensure!(said.contains("are done by an earlier run"), "{said}");
    let report = plain(Call::new("restore")).json()?;
    ensure!(report["bytes"]["resumed"].as_u64() > Some(0), "{report}");
    ensure!(report["bytes"]["resumed"] == resumed, "{resumed} were said: {report}");
    same_sha256("gone on with", &stage.target(), &stage.sample.logical)
}

fn full_filesystem() -> Outcome {
    let stage = Stage::new()?;
    let small = stage.scratch.dir("small")?;
    let tmpfs = Tmpfs::mount(&small, 1 << 20)?;
    let target = small.join("volume.img");
    let words = ["volume.img", "needed", "free"];
    let plain = |call: Call| call.arg(&stage.sets).option("-o", &target);
    all_refuse(&stage, 7, &words, plain)?;
    // A part of it fits, but not with room for its zeros.
    let part = |call: Call| plain(call).option("--length", "512K");
    plans(&stage, part)?;
    all_refuse(&stage, 7, &words, |call| plain(call).args(["--size", "2M", "--preallocate"]))?;
    // A file that is overwritten has some of the room already.
    write(&target, &vec![7; 900 << 10])?;
    all_refuse(&stage, 7, &words, |call| plain(call).args(["--in-place", "--no-journal"]))?;
    let part = |call: Call| plain(call).args(["--in-place", "--no-journal", "--length", "512K"]);
    plans(&stage, part)?;
    // One that is replaced stays until the new one is whole.
    let part = |call: Call| plain(call).args(["--force", "--length", "512K"]);
    all_refuse(&stage, 7, &["needed", "free"], part)?;
    let dir = small.join("members");
    let members = Call::new("restore").arg(&stage.sets).option("--members", &dir);
    stage.refuses(members, 7, &["members", "needed", "free"])?;
    tmpfs.unmount()
}

/// 20 TiB, nearly all of it in no member: ext4 has no files of more than 16 TiB.
fn too_large_a_file() -> Outcome {
    let stage = Stage::new()?;
    let layout = Layout::new().linear(1 << 20, ("vol-a", 0)).unmapped(20 << 40);
    let member = stage.scratch.path("a.raw");
    write(&member, &noise(6, 1 << 20))?;
    let layout_file = stage.scratch.path("layout.toml");
    layout.write(&layout_file)?;
    let sets = stage.scratch.dir("large")?;
    let capture = Call::new("capture").option("-o", &sets).option("--set-id", "dsnap-20t");
    capture.member("vol-a", &member).option("--layout", &layout_file).succeeds()?;

    let empty = Scratch::new()?;
    let image = stage.scratch.path("ext4.img");
    Filesystem::Ext4.make(&image, 32 << 20, empty.root(), &stage.scratch.path("made"))?;
    let mount = LoopMount::read_write(&image, &stage.scratch.path("mounted"))?;
    let target = mount.dir().join("volume.img");
    let plain = |call: Call| call.arg(&sets).option("-o", &target);
    let words = ["volume.img", "20.0 TiB", "too large for its filesystem"];
    all_refuse(&stage, 7, &words, plain)?;
    ensure!(!target.exists(), "something was left");
    plans(&stage, |call| plain(call).option("--length", "1T"))?;
    mount.unmount()
}
