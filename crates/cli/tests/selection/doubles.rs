//! The same file twice, files in many places, and files that only look as if they belonged together.

use std::path::PathBuf;

use libtest_mimic::Trial;

use crate::lineage::Lineage;
use crate::support::frames::{Anatomy, middle};
use crate::support::needs::trial;
use crate::support::noise::noise;
use crate::support::run::Call;
use crate::support::sample::{Captured, SOURCE, Sample, restore};
use crate::support::scratch::{copy, copy_tree, flip_bit, make_dir, read};
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("files_in_different_directories", &[], different_directories),
        trial("names_of_files_do_not_matter", &[], names_do_not_matter),
        trial("order_of_paths_does_not_matter", &[], order_of_paths),
        trial("the_same_file_twice", &[], same_file_twice),
        trial("two_files_for_one_member", &[], two_files_for_one_member),
        trial("two_captures_under_one_set_id", &[], mixed_captures),
        trial("a_member_of_another_set_is_not_taken", &[], member_of_another_set),
        trial("a_whole_copy_is_read_for_a_file_that_is_not", &[], copy_of_a_file_not_whole),
        trial("a_whole_copy_of_an_ancestor_is_read", &[], copy_of_an_ancestor),
        trial("damage_met_on_the_way_names_the_other_copy", &[], copy_of_a_damaged_chunk),
    ]
}

/// All files of a lineage of two, each in a directory of its own.
fn scattered(lineage: &Lineage) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for number in 0..2 {
        for id in ["vol-a", "vol-b", "vol-c"] {
            let dir = lineage.scratch.dir(&format!("place-{number}-{id}/deep/down"))?;
            let file = dir.join(format!("{number}{id}.snap"));
            copy(&lineage.file(number, id)?, &file)?;
            found.push(file);
        }
    }
    Ok(found)
}

fn different_directories() -> Outcome {
    let lineage = Lineage::of(2)?;
    let files = scattered(&lineage)?;
    // By file, by directory (searched all the way down), and both.
    lineage.gives(&restore(&files, &lineage.target()), 1)?;
    let tops: Vec<PathBuf> =
        files.iter().filter_map(|f| f.ancestors().nth(3)).map(PathBuf::from).collect();
    lineage.gives(&restore(&tops, &lineage.target()), 1)?;
    let both: Vec<PathBuf> = files[..3].iter().chain(&tops[3..]).cloned().collect();
    lineage.gives(&restore(&both, &lineage.target()), 1)
}

/// A file given by name is taken whatever it is called; a directory is searched for `.snap`.
fn names_do_not_matter() -> Outcome {
    let lineage = Lineage::of(1)?;
    let dir = lineage.scratch.dir("renamed")?;
    let mut files = Vec::new();
    for (nth, id) in ["vol-c", "vol-a", "vol-b"].into_iter().enumerate() {
        let file = dir.join(format!("backup.{nth}"));
        copy(&lineage.file(0, id)?, &file)?;
        files.push(file);
    }
    lineage.gives(&restore(&files, &lineage.target()), 0)?;
    let list = Call::new("list").arg(&dir).json()?;
    ensure!(list["sets"].as_array().is_some_and(Vec::is_empty), "{list}");
    Ok(())
}

fn order_of_paths() -> Outcome {
    let lineage = Lineage::of(2)?;
    let mut files = scattered(&lineage)?;
    for _ in 0..files.len() {
        files.rotate_left(1);
        lineage.gives(&restore(&files, &lineage.target()), 1)?;
    }
    files.reverse();
    lineage.gives(&restore(&files, &lineage.target()), 1)
}

fn same_file_twice() -> Outcome {
    let lineage = Lineage::of(2)?;
    let file = lineage.file(1, "vol-b")?;
    let call = restore(&[&lineage.sets, &lineage.sets, &file, &file], &lineage.target());
    lineage.gives(&call, 1)?;
    let elsewhere = lineage.scratch.path("elsewhere");
    copy_tree(&lineage.sets, &elsewhere)?;
    lineage.gives(&restore(&[&lineage.sets, &elsewhere], &lineage.target()), 1)?;
    let list = Call::new("list").args([&lineage.sets, &elsewhere]).json()?;
    ensure!(list["sets"].as_array().map(Vec::len) == Some(2), "copies are no sets: {list}");
    // A link is the same file too.
    let link = lineage.scratch.path("link.snap");
    std::os::unix::fs::symlink(&file, &link)?;
    lineage.gives(&restore(&[&lineage.sets, &link], &lineage.target()), 1)
}

/// Another capture of the same members under the same ids, with another content.
fn captured_again(lineage: &Lineage) -> Outcome<Captured> {
    let before = &lineage.generations[0].0;
    let mut image = read(&before.logical)?;
    image[10_000..14_000].copy_from_slice(&noise(77, 4000));
    image[90_000..94_000].copy_from_slice(&noise(78, 4000));
    let dir = lineage.scratch.path("members-again");
    let sample = Sample::with_image(&dir, before.layout.clone(), &image)?;
    let out = lineage.scratch.dir("again")?;
    let call = sample.capture(&out, &lineage.id(0)).option("--source-volume", SOURCE);
    let call = call.option("--time", "2024-01-01T00:00:00Z").option("--chunk-size", "64K");
    Captured::of(&call)
}

/// Two files say that they are the same member of the same set, and are not the same.
fn two_files_for_one_member() -> Outcome {
    let lineage = Lineage::of(1)?;
    let again = captured_again(&lineage)?;
    let double = again.file("vol-a")?.path.clone();
    let call = restore(&[&lineage.sets, &double], &lineage.target());
    lineage.refuses(call, 4, &[&lineage.id(0), &double.to_string_lossy()])?;
    // The whole of both captures is no better.
    let call = restore(&[&lineage.sets, &again.directory], &lineage.target());
    lineage.refuses(call, 4, &[&lineage.id(0)])?;
    // The content id tells them apart.
    let call = restore(&[&lineage.sets, &again.directory], &lineage.target());
    let own = &lineage.generations[0].1.content_id;
    lineage.gives(&call.option("--expect-content-id", own), 0)
}

/// One member of the one capture and the rest of the other: complete by name, and never was.
fn mixed_captures() -> Outcome {
    let lineage = Lineage::of(1)?;
    let again = captured_again(&lineage)?;
    let mixed = lineage.scratch.dir("mixed")?;
    make_dir(&mixed)?;
    copy(&lineage.file(0, "vol-a")?, &mixed.join("0-vol-a.snap"))?;
    copy(&again.file("vol-b")?.path, &mixed.join("1-vol-b.snap"))?;
    copy(&lineage.file(0, "vol-c")?, &mixed.join("2-vol-c.snap"))?;
    let call = restore(&[&mixed], &lineage.target());
    lineage.refuses(call, 4, &[&lineage.id(0)])?;
    Call::new("verify").arg(&mixed).exits(4)?;
    let list = Call::new("list").arg(&mixed).json()?;
    ensure!(list["sets"][0]["state"] != "complete", "{list}");
    ensure!(list["sets"][0]["problems"].as_array().is_some_and(|p| !p.is_empty()), "{list}");
    Ok(())
}

fn member_of_another_set() -> Outcome {
    let lineage = Lineage::of(2)?;
    std::fs::remove_file(lineage.file(0, "vol-b")?)?;
    // Generation 1 has a vol-b, but it is not generation 0's.
    let call = lineage.restore().option("--generation", "0");
    lineage.refuses(call, 6, &[&lineage.id(0), "vol-b"])
}

/// A lineage, and a copy of all its files whose paths come after their own.
fn copied(count: usize) -> Outcome<(Lineage, PathBuf)> {
    let lineage = Lineage::of(count)?;
    let copies = lineage.scratch.path("sets-again");
    copy_tree(&lineage.sets, &copies)?;
    Ok((lineage, copies))
}

/// Of two copies of a file one is damaged, which shows when it is opened: whichever it is, the other one is read,
/// and the damaged one is named.
fn copy_of_a_file_not_whole() -> Outcome {
    for part in [Anatomy::manifest, Anatomy::footer] {
        for is_first in [true, false] {
            let (lineage, copies) = copied(1)?;
            let file = lineage.file(0, "vol-b")?;
            let copy = copies.join(file.strip_prefix(&lineage.sets)?);
            let damaged = if is_first { &file } else { &copy };
            flip_bit(damaged, middle(part(&Anatomy::of(damaged)?)))?;
            let call = restore(&[&lineage.sets, &copies], &lineage.target());
            let ran = call.succeeds()?;
            let said = format!("warning: {}: ", damaged.display());
            ensure!(ran.stderr.contains(&said), "expected {said:?}\n{}", ran.describe());
            std::fs::remove_file(lineage.target())?;
            lineage.gives(&call, 0)?;
            let list = Call::new("list").args([&lineage.sets, &copies]).json_exits(4)?;
            let warning = list["sets"][0]["warnings"][0].as_str().unwrap_or_default();
            ensure!(warning.contains("is read instead"), "{list}");
        }
    }
    Ok(())
}

fn copy_of_an_ancestor() -> Outcome {
    let (lineage, copies) = copied(2)?;
    let damaged = lineage.file(0, "vol-a")?;
    flip_bit(&damaged, middle(Anatomy::of(&damaged)?.footer()))?;
    let call = restore(&[&lineage.sets, &copies], &lineage.target());
    let report = call.json()?;
    let warning = report["warnings"][0].as_str().unwrap_or_default();
    ensure!(warning.contains(&*damaged.to_string_lossy()), "{report}");
    std::fs::remove_file(lineage.target())?;
    lineage.gives(&call, 1)
}

/// Damage of a chunk shows only when it is read.
fn copy_of_a_damaged_chunk() -> Outcome {
    let (lineage, copies) = copied(1)?;
    let damaged = lineage.file(0, "vol-b")?;
    let copy = copies.join(damaged.strip_prefix(&lineage.sets)?);
    let chunk = Anatomy::of(&damaged)?.data().next().map(middle).ok_or("no chunk")?;
    flip_bit(&damaged, chunk)?;
    let hint = format!("another copy of this file was given: {}", copy.display());
    let paths = [&lineage.sets, &copies];
    let image = lineage.scratch.path("read.img");
    for call in [
        restore(&paths, &lineage.target()),
        Call::new("verify").args(paths),
        Call::new("read").args(paths).option("-o", &image),
        Call::new("restore").args(paths).option("-o", &image).arg("--latest-sound"),
    ] {
        let ran = call.exits(4)?;
        ensure!(ran.stderr.contains(&hint), "expected {hint:?}\n{}", ran.describe());
        drop(std::fs::remove_file(&image));
    }
    let others = ["vol-a", "vol-c"].map(|id| lineage.file(0, id));
    let [a, c] = others;
    lineage.gives(&restore(&[a?, copy, c?], &lineage.target()), 0)
}
