//! Where no set can be taken: which there are, why not, and what chooses the one that is meant.

use libtest_mimic::Trial;

use crate::lineage::Lineage;
use crate::support::frames::{Anatomy, middle};
use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::sample::restore;
use crate::support::scratch::{flip_bit, make_dir, write};
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("the_set_that_has_the_content_id_is_named", &[], other_holder),
        trial("sets_that_do_not_fit_are_named", &[], none_fits),
        trial("files_that_cannot_be_read_are_no_empty_directory", &[], all_unreadable),
        trial("every_set_that_is_not_sound_is_named", &[], none_sound),
    ]
}

fn other_holder() -> Outcome {
    let lineage = Lineage::of(2)?;
    let older = &lineage.generations[0].1.content_id;
    let call = lineage.restore().option("--expect-content-id", older);
    let hint = format!("--set-id {}", lineage.id(0));
    lineage.refuses(call.clone(), 4, &[&lineage.id(1), &hint])?;
    lineage.gives(&call.option("--set-id", lineage.id(0)), 0)?;
    let call = lineage.restore().option("--expect-content-id", "0123456789abcdef");
    lineage.refuses(call, 4, &["these are not the files"])
}

fn none_fits() -> Outcome {
    let lineage = Lineage::of(3)?;
    let call = lineage.restore().option("--generation", "7");
    lineage.refuses(call, 6, &["selection", &lineage.id(0), &lineage.id(1), &lineage.id(2)])
}

fn all_unreadable() -> Outcome {
    let lineage = Lineage::of(1)?;
    let sets = lineage.scratch.dir("rubbish")?;
    make_dir(&sets)?;
    write(&sets.join("a.snap"), &[7; 9000])?;
    for flag in ["--latest-complete", "--latest-sound"] {
        let call = restore(&[&sets], &lineage.target()).arg(flag);
        lineage.refuses(call, 4, &["a.snap"])?;
    }
    Ok(())
}

fn none_sound() -> Outcome {
    let lineage = Lineage::of(3)?;
    for number in 0..3 {
        let file = lineage.file(number, "vol-a")?;
        flip_bit(&file, middle(Anatomy::of(&file)?.footer()))?;
    }
    for flag in ["--latest-complete", "--latest-sound"] {
        let call = lineage.restore().arg(flag);
        let ids = [lineage.id(0), lineage.id(1), lineage.id(2)];
        lineage.refuses(call.clone(), 4, &[&ids[0], &ids[1], &ids[2]])?;
        let ran = call.exits(4)?;
        let hint = ran.stderr.lines().find(|line| line.contains("hint:")).unwrap_or_default();
        ensure!(!hint.contains("--latest"), "{hint}");
    }
    let list = Call::new("list").arg(&lineage.sets).json_exits(4)?;
    ensure!(list["sets"][0]["state"] == "damaged", "{list}");
    Ok(())
}
