//! Sets that are known only because others build on them: nothing older is taken for one silently.

use libtest_mimic::Trial;

use crate::lineage::Lineage;
use crate::support::frames::{Anatomy, middle};
use crate::support::needs::trial;
use crate::support::noise::noise;
use crate::support::run::Call;
use crate::support::sample::{SOURCE, restore};
use crate::support::scratch::{Scratch, flip_bit, write};
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_set_known_by_its_child_only_may_be_meant", &[], gap),
        trial("what_an_older_set_builds_on_is_older", &[], older_gap),
        trial("chunk_damage_is_passed_over_by_latest_sound", &[], latest_sound),
        trial("too_few_descriptors_are_no_damage", &[], no_descriptors),
        trial("three_thousand_files_take_few_descriptors", &[], many_files),
        trial("a_path_that_is_not_there_is_named", &[], typing_error),
        trial("several_volumes_are_listed_and_not_their_sets", &[], volumes),
        trial("a_link_shows_nothing_of_what_it_leads_to", &[], link),
        trial("a_content_id_takes_sixteen_digits", &[], content_id),
    ]
}

/// Generation 1 of 0, 1 and 2 is lost: known is only that generation 2 builds on it.
fn gap() -> Outcome {
    let lineage = Lineage::of(3)?;
    std::fs::remove_dir_all(lineage.sets.join(lineage.id(1)))?;
    let lost = lineage.id(1);
    let at = |call: Call| call.option("--at", "2024-01-02T12:00:00Z");
    for command in ["restore", "plan", "verify", "inspect", "list"] {
        let call = match command {
            "restore" => lineage.restore(),
            "plan" => Call::new("plan").arg(&lineage.sets).option("-o", lineage.target()),
            command => Call::new(command).arg(&lineage.sets),
        };
        lineage.refuses(at(call), 6, &[&lost, &lineage.id(2), &lineage.id(0)])?;
    }
    // Before generation 0 it may have been, too.
    let call = lineage.restore().option("--at", "2023-01-01");
    lineage.refuses(call, 6, &[&lost])?;
    for (option, value) in [("--generation", "1"), ("--set-id", lost.as_str())] {
        lineage.refuses(lineage.restore().option(option, value), 6, &[&lost, &lineage.id(2)])?;
    }
    // A prefix that may mean it means nothing else.
    let call = lineage.restore().option("--set-id", "dsnap-0");
    lineage.refuses(call, 2, &[&lineage.id(0), &lineage.id(2)])?;
    // Nobody builds on what has a later generation.
    lineage.refuses(lineage.restore().option("--generation", "7"), 6, &["selection"])?;
    let call = lineage.restore().option("--source-volume", SOURCE);
    lineage.refuses(call, 6, &[&lost])?;
    for call in [lineage.restore(), at(lineage.restore())] {
        let call = call.arg("--latest-complete");
        let said = call.clone().succeeds()?.stderr;
        ensure!(said.contains("passed over") && said.contains(&lost), "{said}");
        std::fs::remove_file(lineage.target())?;
        lineage.gives(&call, 0)?;
    }
    lineage.gives(&lineage.restore().option("--generation", "0"), 0)
}

/// Generation 0 of 0, 1 and 2 is lost, and 2 is full: nothing newer than 1 is missing at its time.
fn older_gap() -> Outcome {
    let lineage = Lineage::of(2)?;
    std::fs::remove_dir_all(lineage.sets.join(lineage.id(0)))?;
    let call = lineage.restore().option("--at", "2024-01-05");
    lineage.refuses(call, 6, &["parent", &lineage.id(0)])?;
    let (sample, _) = &lineage.generations[1];
    let call = sample.capture(&lineage.sets, "dsnap-02a0").option("--source-volume", SOURCE);
    let call = call.option("--generation", "2").option("--time", "2024-01-04T00:00:00Z");
    call.succeeds()?;
    let report = lineage.restore().option("--at", "2024-01-05").json()?;
    ensure!(report["set_id"] == "dsnap-02a0", "{report}");
    Ok(())
}

fn latest_sound() -> Outcome {
    let lineage = Lineage::of(3)?;
    let file = lineage.file(2, "vol-a")?;
    let anatomy = Anatomy::of(&file)?;
    flip_bit(&file, middle(anatomy.data().next().ok_or("no data")?))?;
    // It is come upon in the middle: what was restored before that may be left to go on from.
    let ran = lineage.restore().arg("--latest-complete").exits(4)?;
    ensure!(ran.stderr.contains("0-vol-a.snap"), "{}", ran.describe());
    for path in std::fs::read_dir(&lineage.out)? {
        std::fs::remove_file(path?.path())?;
    }
    let call = lineage.restore().arg("--latest-sound");
    let said = call.clone().succeeds()?.stderr;
    ensure!(said.contains("passed over") && said.contains("0-vol-a.snap"), "{said}");
    std::fs::remove_file(lineage.target())?;
    lineage.gives(&call, 1)?;
    // Both at once say two things.
    lineage.refuses(call.arg("--latest-complete"), 2, &[])
}

/// With fewer descriptors than it takes to look at a directory nothing older is taken.
fn no_descriptors() -> Outcome {
    let lineage = Lineage::of(2)?;
    for flag in ["--latest-complete", "--latest-sound", "--quiet"] {
        let call = lineage.restore().arg(flag).within("ulimit -n 4; exec");
        let ran = call.run()?;
        let is_other = ran.status.code() == Some(0) || ran.stderr.contains(": passed over ");
        ensure!(!is_other, "{}", ran.describe());
        ensure!(!lineage.target().exists(), "something was written: {}", ran.describe());
    }
    Ok(())
}

/// 30 generations of a volume of 100 members, read with 256 descriptors and with 64.
fn many_files() -> Outcome {
    const MEMBERS: u64 = 100;
    let scratch = Scratch::new()?;
    let (sets, members) = (scratch.dir("sets")?, scratch.dir("members")?);
    let image = |nth: u64| noise(nth, 8192);
    let mut call = Call::new("capture").arg("--linear");
    for nth in 0..MEMBERS {
        let path = members.join(nth.to_string());
        write(&path, &image(nth))?;
        call = call.member(&format!("vol-{nth}"), &path);
    }
    let call = call.option("--source-volume", SOURCE).option("--chunk-size", "4K");
    for n in 0..30 {
        let call = call.clone().option("-o", &sets).option("--generation", n.to_string());
        let time = format!("2024-01-01T00:00:{n:02}Z");
        call.option("--set-id", format!("dsnap-{n}")).option("--time", time).succeeds()?;
    }
    let expected: Vec<u8> = (0..MEMBERS).flat_map(image).collect();
    for few in ["ulimit -n 256; exec", "ulimit -n 64; exec"] {
        let list = Call::new("list").arg(&sets).within(few).json()?;
        ensure!(list["sets"].as_array().is_some_and(|sets| sets.len() == 30), "not all are listed");
        let unreadable = &list["unreadable"];
        ensure!(unreadable.as_array().is_some_and(Vec::is_empty), "{unreadable}");
        let target = scratch.path("target");
        let report = restore(&[&sets], &target).arg("--force").within(few).json()?;
        ensure!(report["set_id"] == "dsnap-29", "{report}");
        ensure!(std::fs::read(&target)? == expected, "another volume");
    }
    Ok(())
}

fn typing_error() -> Outcome {
    let lineage = Lineage::of(2)?;
    let typo = lineage.scratch.path("stes");
    for flags in [vec![], vec!["--latest-complete"], vec!["--generation", "0"]] {
        let call = restore(&[&lineage.sets, &typo], &lineage.target()).args(flags);
        let ran = call.exits(4)?;
        ensure!(ran.stderr.contains("stes"), "{}", ran.describe());
        ensure!(!ran.stderr.contains("newest"), "{}", ran.describe());
    }
    Ok(())
}

fn volumes() -> Outcome {
    let lineage = Lineage::of(3)?;
    let (sample, _) = &lineage.generations[0];
    let call = sample.capture(&lineage.sets, "dsnap-other").option("--source-volume", "dvol-other");
    call.succeeds()?;
    let ran = lineage.restore().exits(2)?;
    let lines = [format!("{SOURCE} (3 sets)"), "dvol-other (1 set)".to_owned()];
    ensure!(lines.iter().all(|line| ran.stderr.contains(line)), "{}", ran.describe());
    ensure!(!ran.stderr.contains(&lineage.id(1)), "{}", ran.describe());
    Ok(())
}

fn link() -> Outcome {
    let scratch = Scratch::new()?;
    let (secret, tree) = (scratch.path("secret"), scratch.dir("tree")?);
    write(&secret, b"root:$y$j9T$secret-that-nobody-may-see-in-any-message-at-all:20000:0:99999")?;
    std::os::unix::fs::symlink(&secret, tree.join("a.snap"))?;
    let ran = Call::new("list").arg(&tree).exits(4)?;
    let text = format!("{}{}", String::from_utf8_lossy(&ran.stdout), ran.stderr);
    ensure!(text.contains("not a snaprestore snapshot"), "{text}");
    // Neither as text nor as numbers.
    ensure!(!text.contains("root") && !text.contains("72, 6f") && !text.contains("39"), "{text}");
    Ok(())
}

fn content_id() -> Outcome {
    let lineage = Lineage::of(1)?;
    let id = lineage.generations[0].1.content_id.clone();
    let call = |digits: usize| lineage.restore().option("--expect-content-id", &id[..digits]);
    lineage.refuses(call(15), 2, &["16"])?;
    lineage.gives(&call(16), 0)
}
