//! Snapshots that come through pipes, and are read once.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::support::feed::{FEED, Feed};
use crate::support::frames::{Anatomy, middle};
use crate::support::layout::Layout;
use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::scratch::{copy, flip_bit, len, set_len, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, hash};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("piped_to_standard_input", &[], standard_input),
        trial("piped_members_in_any_order", &FEED, any_order),
        trial("piped_without_a_member", &FEED, member_missing),
        trial("piped_with_damage", &[], damaged),
        trial("piped_and_cut_off", &[], cut_off),
        trial("piped_children_are_refused", &FEED, child_refused),
        trial("piped_onto_something", &[], target_exists),
        trial("piped_once_only", &[], once_only),
    ]
}

/// A volume on one member.
fn single() -> Outcome<Stage> {
    Stage::with_layout(Layout::new().linear((2 << 20) + 512, ("vol-a", 0)))
}

/// `cat FILE | snaprestore restore - -o TARGET`.
fn piped(stage: &Stage, file: &Path) -> Call {
    let call = Call::new("restore").arg("-").option("-o", stage.target());
    call.within(&format!("cat {} |", file.display()))
}

fn comes_back(stage: &Stage, call: &Call) -> Outcome {
    let before = hash::Census::take(&[&stage.sets])?;
    let ran = call.succeeds()?;
    before.unchanged(&ran.describe())?;
    hash::same_sha256(&call.line(), &stage.target(), &stage.sample.logical)?;
    std::fs::remove_file(stage.target())?;
    let entries = std::fs::read_dir(&stage.out)?.count();
    ensure!(entries == 1, "{entries} entries left\n{}", ran.describe());
    Ok(())
}

fn standard_input() -> Outcome {
    let stage = single()?;
    let file = stage.file("vol-a")?;
    comes_back(&stage, &piped(&stage, &file))?;
    comes_back(&stage, &piped(&stage, &file).arg("--preallocate"))?;
    comes_back(&stage, &piped(&stage, &file).option("--io", "buffered").option("-j", "1"))?;
    // A file that standard input simply is.
    let call = Call::new("restore").arg("-").option("-o", stage.target());
    comes_back(&stage, &call.within(&format!("<{} exec", file.display())))
}

/// The stage's files, each through a pipe, in this order.
fn feeds(stage: &Stage, order: &[&str]) -> Outcome<(Vec<Feed>, Call)> {
    let mut feeds = Vec::new();
    let mut call = Call::new("restore").option("-o", stage.target());
    let round = std::fs::read_dir(stage.scratch.root())?.count();
    for id in order {
        let pipe = stage.scratch.path(&format!("pipe-{round}-{id}"));
        let feed = Feed::start(&stage.file(id)?, pipe)?;
        call = call.arg(feed.path());
        feeds.push(feed);
    }
    // A reader that waits for ever is a failure, too.
    Ok((feeds, call.within("exec timeout 60")))
}

fn any_order() -> Outcome {
    let stage = Stage::new()?;
    for order in
        [["vol-a", "vol-b", "vol-c"], ["vol-c", "vol-b", "vol-a"], ["vol-b", "vol-c", "vol-a"]]
    {
        let (_feeds, call) = feeds(&stage, &order)?;
        comes_back(&stage, &call)?;
    }
    // Pipes and files together.
    let (_feeds, call) = feeds(&stage, &["vol-c", "vol-a"])?;
    comes_back(&stage, &call.arg(stage.file("vol-b")?))
}

/// A failure of a call that can be made only once, for its pipes are empty then: nothing is left.
fn fails(stage: &Stage, call: &Call, code: i32, words: &[&str]) -> Outcome {
    let before = hash::Census::take(&[&stage.sets, &stage.out])?;
    let ran = call.exits(code)?;
    before.unchanged(&ran.describe())?;
    for word in words.iter().chain(&["snaprestore: ", "  hint: "]) {
        ensure!(ran.stderr.contains(word), "no word of {word:?}\n{}", ran.describe());
    }
    Ok(())
}

fn member_missing() -> Outcome {
    let stage = Stage::new()?;
    let (_feeds, call) = feeds(&stage, &["vol-c", "vol-a"])?;
    fails(&stage, &call, 6, &["vol-b"])
}

/// One damaged place after the other: wherever it is, nothing is made of it.
fn damaged() -> Outcome {
    let stage = single()?;
    let whole = stage.file("vol-a")?;
    let anatomy = Anatomy::of(&whole)?;
    let data: Vec<u64> = anatomy.data().map(middle).collect();
    let parts = [
        data[0],
        data[data.len() - 1],
        middle(anatomy.manifest()),
        middle(anatomy.index()),
        middle(anatomy.footer()),
    ];
    for (nth, place) in parts.into_iter().enumerate() {
        let file = stage.scratch.path(&format!("damaged-{nth}.snap"));
        copy(&whole, &file)?;
        flip_bit(&file, place)?;
        stage.refuses(piped(&stage, &file), 4, &["standard input"])?;
    }
    Ok(())
}

fn cut_off() -> Outcome {
    let stage = single()?;
    let whole = stage.file("vol-a")?;
    let size = len(&whole)?;
    for keep in [0, 1, 100, size / 2, size - 1] {
        let file = stage.scratch.path(&format!("cut-{keep}.snap"));
        copy(&whole, &file)?;
        drop(set_len(&file, keep)?);
        stage.refuses(piped(&stage, &file), 4, &["standard input"])?;
    }
    // Something behind the end is no more whole than something missing.
    let file = stage.scratch.path("longer.snap");
    copy(&whole, &file)?;
    drop(set_len(&file, size + 512)?);
    stage.refuses(piped(&stage, &file), 4, &["standard input"])
}

/// What builds on another snapshot cannot be read in one pass.
fn child_refused() -> Outcome {
    let stage = Stage::new()?;
    let (_, child) = stage.next_generation("dsnap-1a", 1)?;
    let mut feeds = Vec::new();
    let mut call = Call::new("restore").option("-o", stage.target());
    for file in &child.files {
        let pipe: PathBuf = stage.scratch.path(&format!("pipe-{}", file.volume_id));
        let feed = Feed::start(&file.path, pipe)?;
        call = call.arg(feed.path());
        feeds.push(feed);
    }
    fails(&stage, &call.within("exec timeout 60"), 2, &["keep the snapshots as files"])
}

fn target_exists() -> Outcome {
    let stage = single()?;
    let file = stage.file("vol-a")?;
    write(&stage.target(), b"precious")?;
    stage.refuses(piped(&stage, &file), 5, &["volume.img", "--force"])?;
    comes_back(&stage, &piped(&stage, &file).arg("--force"))?;
    // The set that comes must be the one that is meant.
    stage.refuses(piped(&stage, &file).option("--set-id", "other"), 6, &[])?;
    let other = "0123456789abcdef";
    stage.refuses(piped(&stage, &file).option("--expect-content-id", other), 4, &[other])
}

fn once_only() -> Outcome {
    let stage = single()?;
    let file = stage.file("vol-a")?;
    for (flags, word) in [
        (&["--in-place"][..], "--in-place"),
        (&["--offset", "512"], "a range"),
        (&["--size", "4M"], "--size"),
        (&["--hash", "md5"], "--hash"),
        (&["--verify-target"], "--verify-target"),
        (&["--salvage"], "--salvage"),
        (&["--restart"], "a journal"),
        (&["--dry-run"], "cannot be looked at beforehand"),
    ] {
        stage.refuses(piped(&stage, &file).args(flags), 2, &[word, "pipes"])?;
    }
    Ok(())
}
