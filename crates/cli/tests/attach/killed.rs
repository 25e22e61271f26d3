//! Servers that are killed, and states that are half made: detaching leaves nothing behind.

use std::path::Path;

use libtest_mimic::Trial;

use crate::support::attachment::{ATTACH, Attachment, attach, unused_name};
use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, scratch, tool};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("what_a_killed_server_left_is_detached", &ATTACH, killed),
        trial("a_name_of_the_dead_can_be_had_again", &ATTACH, taken_over),
        trial("half_made_places_are_cleared_away", &ATTACH, half_made),
    ]
}

fn killed() -> Outcome {
    let stage = Stage::new()?;
    for _ in 0..3 {
        let attachment = Attachment::of(&stage.sets)?;
        tool::same_bytes(&attachment.device()?, &stage.sample.logical)?;
        let death = attachment.kill_server()?;
        ensure!(attachment.listed()?["server"] == "dead", "{}", attachment.listed()?);
        attachment.detach_cleanly()?;
        drop(death);
    }
    Ok(())
}

fn taken_over() -> Outcome {
    let stage = Stage::new()?;
    let attachment = Attachment::of(&stage.sets)?;
    let death = attachment.kill_server()?;
    let document = attach(&stage.sets, &attachment.name).json()?;
    let second = Attachment { name: attachment.name.clone(), document };
    tool::same_bytes(&second.device()?, &stage.sample.logical)?;
    second.detach_cleanly()?;
    drop(death);
    Ok(())
}

fn half_made() -> Outcome {
    let stage = Stage::new()?;
    for make in [
        |place: &Path| scratch::make_dir(place),
        |place: &Path| scratch::make_dir(&place.join("disk")),
        |place: &Path| {
            scratch::make_dir(&place.join("disk"))?;
            scratch::write(&place.join("state.json"), b"{ \"name\": ")
        },
        // A loop device that was made before anything could be said of it.
        |place: &Path| {
            let disk = place.join("disk");
            scratch::make_dir(&disk)?;
            let name = place.file_name().unwrap_or_default().to_string_lossy();
            let raw = disk.join(format!("{name}.raw"));
            tool::run("mount", ["-t", "tmpfs", "none", &disk.to_string_lossy()])?;
            scratch::set_len(&raw, 1 << 20)?;
            tool::run("losetup", [Path::new("--find"), &raw]).map(drop)
        },
    ] {
        let place = Path::new("/run/snaprestore").join(unused_name());
        make(&place)?;
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let attachment = Attachment { name, document: serde_json::json!({ "pid": u32::MAX }) };
        ensure!(attachment.listed()?["server"] == "dead", "{}", attachment.listed()?);
        Call::new("attached").succeeds()?;
        attachment.detach_cleanly()?;
        make(&place)?;
        let document = attach(&stage.sets, &attachment_name(&place)).json()?;
        let attachment = Attachment { name: attachment_name(&place), document };
        tool::same_bytes(&attachment.file()?, &stage.sample.logical)?;
        attachment.detach_cleanly()?;
    }
    Ok(())
}

fn attachment_name(place: &Path) -> String {
    place.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
