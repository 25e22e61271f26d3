//! How several members make one volume.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::support::layout::Layout;
use crate::support::needs::trial;
use crate::support::noise::noise;
use crate::support::run::Call;
use crate::support::sample::{Captured, restore};
use crate::support::scratch::{Scratch, read, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, hash, split};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("layout_flags_exclude_each_other", &[], one_at_a_time),
        trial("stripe_of_unequal_sizes_names_the_member", &[], unequal_sizes),
        trial("stripe_with_and_without_a_tail", &[], striped),
        trial("linear_in_the_order_given", &[], linear),
        trial("layout_file_with_units_and_columns_of_its_own", &[], layout_file),
        trial("layout_beside_the_set_is_read_back", &[], layout_beside_the_set),
    ]
}

fn one_at_a_time() -> Outcome {
    let stage = Stage::new()?;
    let stripe = ["--stripe", "64K"];
    let file = stage.sample.layout_file.to_string_lossy().into_owned();
    let layout = ["--layout", file.as_str()];
    let linear = ["--linear"];
    let (a, b) = (&stage.sample.members["vol-a"], &stage.sample.members["vol-b"]);
    let call =
        || Call::new("capture").option("-o", &stage.out).member("vol-a", a).member("vol-b", b);
    let both: [&[&[&str]]; 4] = [
        &[&stripe, &linear],
        &[&stripe, &layout],
        &[&layout, &linear],
        &[&stripe, &layout, &linear],
    ];
    for flags in both {
        stage.refuses(call().args(flags.concat()), 2, &["cannot be used with"])?;
    }
    stage.refuses(call(), 2, &["--layout", "--stripe", "--linear"])?;
    // A stripe needs something to go over.
    let single = Call::new("capture").option("-o", &stage.out).member("vol-a", a);
    stage.refuses(single.option("--stripe", "64K"), 2, &["stripe"])?;
    for stripe in ["0", "511", "4G", "1T", "64X", ""] {
        stage.refuses(call().option("--stripe", stripe), 2, &["stripe"])?;
    }
    Ok(())
}

fn unequal_sizes() -> Outcome {
    let stage = Stage::new()?;
    let [a, b, c] = ["vol-a", "vol-b", "vol-c"].map(|id| &stage.sample.members[id]);
    let call = Call::new("capture").option("-o", &stage.out).option("--stripe", "64K");
    let call = call.member("vol-a", a).member("vol-b", b).member("vol-c", c);
    stage.refuses(call, 2, &["equal size", "vol-c", "307712", "524288"])
}

/// Member images of these sizes, full of noise.
fn members(scratch: &Scratch, sizes: &[usize]) -> Outcome<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for (nth, size) in sizes.iter().enumerate() {
        let path = scratch.path(&format!("member-{nth}.raw"));
        write(&path, &noise(nth as u64, *size))?;
        paths.push(path);
    }
    Ok(paths)
}

/// Captures with a flag, and compares the volume with what the tests' own splitter makes of the members by the layout
/// that is expected.
fn comes_out_as(paths: &[PathBuf], flag: &[&str], expected: &Layout, scratch: &Scratch) -> Outcome {
    let out = scratch.dir("sets")?;
    let mut call = Call::new("capture").option("-o", &out).option("--set-id", "dsnap-0").args(flag);
    let ids = (0..paths.len()).map(|nth| format!("vol-{nth}"));
    for (id, path) in ids.clone().zip(paths) {
        call = call.member(&id, path);
    }
    let set = Captured::of(&call)?;
    let truth = scratch.path("truth.img");
    split::join(&ids.zip(paths.iter().cloned()).collect(), expected, &truth)?;
    let target = scratch.path("volume.img");
    restore(&[&out], &target).arg("--force").succeeds()?;
    hash::same_sha256(&format!("{flag:?}"), &target, &truth)?;
    let beside = Layout::read(&set.directory.join("layout.toml"))?;
    ensure!(beside.logical_size() == expected.logical_size(), "{flag:?}: {beside:?}");
    std::fs::remove_dir_all(&out)?;
    Ok(())
}

fn striped() -> Outcome {
    let scratch = Scratch::new()?;
    let columns = [("vol-0", 0), ("vol-1", 0), ("vol-2", 0)];
    // Whole rows; one way of writing a size is as good as another.
    let paths = members(&scratch, &[192 << 10; 3])?;
    let rows = Layout::new().striped(3 * (192 << 10), 64 << 10, &columns);
    for size in ["64K", "64KiB", "65536"] {
        comes_out_as(&paths, &["--stripe", size], &rows, &scratch)?;
    }
    // What is left of each member behind its last whole stripe follows in turn.
    let each = (192 << 10) + 20_480 + 512;
    let paths = members(&scratch, &[each; 3])?;
    let mut tail = rows;
    for (id, _) in columns {
        tail = tail.linear(20_480 + 512, (id, 192 << 10));
    }
    comes_out_as(&paths, &["--stripe", "64K"], &tail, &scratch)?;
    // Less than one stripe of each is nothing but tails.
    let paths = members(&scratch, &[5000; 3])?;
    let mut only_tails = Layout::new();
    for (id, _) in columns {
        only_tails = only_tails.linear(5000, (id, 0));
    }
    comes_out_as(&paths, &["--stripe", "64K"], &only_tails, &scratch)
}

fn linear() -> Outcome {
    let scratch = Scratch::new()?;
    let paths = members(&scratch, &[70_000, 512, 200_001])?;
    let order = Layout::new()
        .linear(70_000, ("vol-0", 0))
        .linear(512, ("vol-1", 0))
        .linear(200_001, ("vol-2", 0));
    comes_out_as(&paths, &["--linear"], &order, &scratch)?;
    let reversed: Vec<PathBuf> = paths.iter().rev().cloned().collect();
    let order = Layout::new()
        .linear(200_001, ("vol-0", 0))
        .linear(512, ("vol-1", 0))
        .linear(70_000, ("vol-2", 0));
    comes_out_as(&reversed, &["--linear"], &order, &scratch)?;
    // A single member needs no flag, and may have one.
    let single = Layout::new().linear(70_000, ("vol-0", 0));
    for flag in [&[][..], &["--linear"]] {
        comes_out_as(&paths[..1], flag, &single, &scratch)?;
    }
    Ok(())
}

/// Sizes as text, a member in several places, parts of members in none.
fn layout_file() -> Outcome {
    let scratch = Scratch::new()?;
    let paths = members(&scratch, &[300 << 10, 200 << 10])?;
    let text = "version = 1\nlogical_size = \"240KiB\"\n\
        [[segment]]\nstart = 0\nlength = \"16K\"\nkind = \"linear\"\n\
        columns = [{ member = \"vol-1\", offset = 512 }]\n\
        [[segment]]\nstart = 16384\nlength = \"96KiB\"\nkind = \"unmapped\"\n\
        [[segment]]\nstart = \"112K\"\nlength = \"128KiB\"\nkind = \"striped\"\nstripe = \"16KiB\"\n\
        columns = [{ member = \"vol-0\", offset = \"100K\" }, { member = \"vol-1\", offset = 65536 },\n\
        { member = \"vol-0\", offset = 0 }, { member = \"vol-1\", offset = \"128K\" }]\n";
    let file = scratch.path("given.toml");
    write(&file, text.as_bytes())?;
    let columns = [("vol-0", 100 << 10), ("vol-1", 64 << 10), ("vol-0", 0), ("vol-1", 128 << 10)];
    let expected = Layout::new().linear(16 << 10, ("vol-1", 512)).unmapped(96 << 10).striped(
        128 << 10,
        16 << 10,
        &columns,
    );
    comes_out_as(&paths, &["--layout", &file.to_string_lossy()], &expected, &scratch)
}

fn layout_beside_the_set() -> Outcome {
    let stage = Stage::new()?;
    let beside = stage.set.directory.join("layout.toml");
    let mut call = Call::new("capture").option("-o", &stage.out).option("--layout", &beside);
    for (id, path) in &stage.sample.members {
        call = call.member(id, path);
    }
    let again = Captured::of(&call.option("--set-id", "dsnap-0b"))?;
    let text = |directory: &Path| read(&directory.join("layout.toml"));
    ensure!(text(&again.directory)? == text(&stage.set.directory)?, "another layout.toml");
    stage.restores(&restore(&[&stage.out], &stage.target()), &stage.sample)
}
