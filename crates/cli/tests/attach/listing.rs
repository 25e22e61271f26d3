//! What is attached, how it is called, and what cannot be.

use libtest_mimic::Trial;

use crate::support::attachment::{ATTACH, Attachment, attach, unused_name};
use crate::support::needs::{Need, trial};
use crate::support::run::Call;
use crate::support::scratch;
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let mut all = ATTACH.to_vec();
    all.push(Need::Tool("unshare"));
    vec![
        trial("one_line_when_it_can_be_used", &ATTACH, one_line),
        trial("attached_counts_what_is_read", &ATTACH, figures),
        trial("one_name_is_for_one_volume", &ATTACH, one_name),
        trial("names_stay_in_their_directory", &[], names),
        trial("nothing_is_left_of_what_fails", &ATTACH, failures),
        trial("detach_by_device_and_all_at_once", &all, all_at_once),
        trial("what_is_not_attached_is_not_detached", &[], unknown),
    ]
}

fn one_line() -> Outcome {
    let stage = Stage::new()?;
    let attachment = Attachment::of(&stage.sets)?;
    let (device, file) = (attachment.device()?, attachment.file()?);
    let name = unused_name();
    let ran = attach(&stage.sets, &name).succeeds()?;
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let second = Attachment { name, document: serde_json::json!({ "pid": attachment.pid()? }) };
    let fields: Vec<&str> = text.trim_end().split('\t').collect();
    ensure!(text.lines().count() == 1 && fields.len() == 2, "not one line of two: {text:?}");
    ensure!(
        fields[0].starts_with("/dev/loop") && fields[0] != device.to_str().unwrap_or("?"),
        "{text}"
    );
    tool::same_bytes(fields[0].as_ref(), &file)?;
    tool::same_bytes(fields[1].as_ref(), &file)?;
    second.detach().succeeds()?;
    attachment.detach_cleanly()
}

fn figures() -> Outcome {
    let stage = Stage::new()?;
    let attachment = Attachment::of(&stage.sets)?;
    let document = &attachment.document;
    ensure!(document["set_id"] == "dsnap-0a", "{document}");
    ensure!(document["content_id"] == stage.set.content_id.as_str(), "{document}");
    tool::same_bytes(&attachment.file()?, &stage.sample.logical)?;
    let listed = attachment.listed()?;
    ensure!(listed["server"] == "serving" && listed["volume"] == *document, "{listed}");
    let figures = &listed["status"]["figures"];
    let size = scratch::len(&stage.sample.logical)?;
    let read = figures["bytes_read"].as_u64().unwrap_or_default();
    ensure!(read >= size && figures["reads"].as_u64() > Some(0), "{listed}");
    ensure!(figures["failed_reads"] == 0 && figures["damaged"] == 0, "{listed}");
    ensure!(listed["status"]["cache"]["loads"].as_u64() > Some(0), "{listed}");
    attachment.detach_cleanly()
}

fn one_name() -> Outcome {
    let stage = Stage::new()?;
    let attachment = Attachment::of(&stage.sets)?;
    let ran = attach(&stage.sets, &attachment.name).exits(5)?;
    ensure!(ran.stderr.contains("attached already"), "{}", ran.describe());
    tool::same_bytes(&attachment.file()?, &stage.sample.logical)?;
    attachment.detach_cleanly()
}

fn names() -> Outcome {
    for bad in ["", ".", "..", "../x", "a/b", "-x", "a b"] {
        Call::new("attach").arg("/nowhere").arg(format!("--name={bad}")).exits(2)?;
    }
    Ok(())
}

fn failures() -> Outcome {
    let stage = Stage::new()?;
    let name = unused_name();
    let empty = stage.scratch.dir("empty")?;
    attach(&empty, &name).exits(6)?;
    let error = attach(&empty, &name).json_exits(6)?;
    ensure!(error["error"]["exit_code"] == 6, "{error}");
    ensure!(!std::path::Path::new("/run/snaprestore").join(&name).exists(), "something is left");
    Ok(())
}

/// In a directory of its own over `/run`, for the other tests have volumes attached, too.
fn all_at_once() -> Outcome {
    let stage = Stage::new()?;
    let script = r#"
        set -e
        mount -t tmpfs none /run
        "$0" attach "$1" --name one > /dev/null
        "$0" attach "$1" --name two > "$1/line"
        "$0" attach "$1" --name three > /dev/null
        "$0" detach "$(cut -f 1 "$1/line")"
        test ! -e /run/snaprestore/two
        "$0" detach --all
        "$0" attached
        test ! -e /run/snaprestore
    "#;
    let binary = crate::support::run::BINARY;
    let sets = stage.sets.to_string_lossy();
    let said = tool::run("unshare", ["-m", "sh", "-c", script, binary, &sets])?;
    ensure!(
        said == "detached two\ndetached one\ndetached three\nnothing is attached\n",
        "said {said}"
    );
    Ok(())
}

fn unknown() -> Outcome {
    for what in ["no-such-name", "/dev/null", "/nowhere"] {
        Call::new("detach").arg(what).exits(2)?;
    }
    Call::new("detach").exits(2).map(drop)
}
