//! Attaching that is stopped, or done twice at once: all or nothing.

use std::path::Path;
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::support::attachment::{ATTACH, Attachment, attach, unused_name};
use crate::support::needs::trial;
use crate::support::run::{Call, Ran, Running};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, tool};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("nothing_is_left_of_attaching_that_sigterm_stops", &ATTACH, || {
            stopped_by(Signal::TERM, 143)
        }),
        trial("nothing_is_left_of_attaching_that_sigint_stops", &ATTACH, || {
            stopped_by(Signal::INT, 130)
        }),
        trial("of_two_that_attach_under_one_name_one_does", &ATTACH, two_at_once),
        trial("of_two_that_take_over_from_the_dead_one_does", &ATTACH, two_after_a_death),
        trial("what_was_detached_is_said_beside_what_was_not", &ATTACH, some_detached),
    ]
}

/// A volume of which only the name is known.
fn named(name: String) -> Attachment {
    Attachment { name, document: serde_json::json!({ "pid": u32::MAX }) }
}

fn stopped_by(signal: Signal, code: i32) -> Outcome {
    let stage = Stage::new()?;
    let mut stopped = 0;
    for after in [0, 1, 5, 10, 20, 40, 80, 160, 320] {
        let attachment = named(unused_name());
        let running = attach(&stage.sets, &attachment.name).start()?;
        running.await_handler_of(signal)?;
        thread::sleep(Duration::from_millis(after));
        running.signal(signal)?;
        let ran = running.wait()?;
        if ran.status.code() == Some(0) {
            ensure!(!ran.stdout.is_empty(), "{}", ran.describe());
            attachment.detach().succeeds()?;
        } else {
            ensure!(ran.status.code() == Some(code), "{}", ran.describe());
            ensure!(ran.stdout.is_empty(), "{}", ran.describe());
            stopped += 1;
        }
        attachment.is_gone()?;
    }
    ensure!(stopped > 0, "all were too late");
    Ok(())
}

fn two_at_once() -> Outcome {
    let stage = Stage::new()?;
    one_of_two(&stage, &unused_name())
}

fn two_after_a_death() -> Outcome {
    let stage = Stage::new()?;
    let attachment = Attachment::of(&stage.sets)?;
    let death = attachment.kill_server()?;
    one_of_two(&stage, &attachment.name)?;
    drop(death);
    Ok(())
}

fn one_of_two(stage: &Stage, name: &str) -> Outcome {
    let attachment = named(name.to_owned());
    let both = [attach(&stage.sets, name).start()?, attach(&stage.sets, name).start()?];
    let ran: Vec<Ran> = both.into_iter().map(Running::wait).collect::<Outcome<_>>()?;
    let mut codes: Vec<_> = ran.iter().map(|ran| ran.status.code()).collect();
    codes.sort_unstable();
    let said = || ran.iter().map(Ran::describe).collect::<String>();
    ensure!(codes == [Some(0), Some(5)], "{}", said());
    let file = Path::new("/run/snaprestore").join(name).join(format!("disk/{name}.raw"));
    tool::same_bytes(&file, &stage.sample.logical)?;
    attachment.detach_cleanly()
}

fn some_detached() -> Outcome {
    let stage = Stage::new()?;
    let attachment = Attachment::of(&stage.sets)?;
    let call = Call::new("detach").arg("no-such-name").arg(&attachment.name);
    let document = call.json_exits(2)?;
    ensure!(document["error"]["exit_code"] == 2, "{document}");
    ensure!(document["detached"] == serde_json::json!([attachment.name]), "{document}");
    attachment.is_gone()
}
