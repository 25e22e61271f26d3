//! Names come from files, and files come from anywhere: what would move the cursor, change the title or the order
//! of the text is shown escaped. JSON stays JSON.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::support::frames::{Anatomy, middle};
use crate::support::needs::trial;
use crate::support::run::{Call, Ran};
use crate::support::sample::restore;
use crate::support::scratch::{copy, flip_bit, make_dir, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("tags_and_ids_are_shown_escaped", &[], tags_and_ids),
        trial("paths_are_shown_escaped", &[], paths),
        trial("paths_in_failures_are_shown_escaped", &[], paths_in_failures),
        trial("paths_that_are_not_utf_8", &[], not_utf_8),
    ]
}

/// Sets the title, rings, breaks the line and turns the text round.
const EVIL: &str = "a\u{1b}]0;title\u{7}b\n#c\r\u{9b}2J\u{202e}d";

/// Nothing but printable text, in the lines that the command made itself.
fn is_harmless(ran: &Ran) -> Outcome {
    let stdout = String::from_utf8_lossy(&ran.stdout).into_owned();
    for text in [&stdout, &ran.stderr] {
        let bad = text
            .chars()
            .find(|c| (c.is_control() && *c != '\n') || ('\u{2028}'..='\u{202e}').contains(c));
        ensure!(bad.is_none(), "{bad:?} on the terminal\n{}", ran.describe());
        // What would be a line of its own if a name could break lines.
        ensure!(!text.lines().any(|l| l.starts_with('#')), "a broken line\n{}", ran.describe());
    }
    Ok(())
}

fn shows(ran: &Ran, escaped: &str) -> Outcome {
    let text = format!("{}{}", String::from_utf8_lossy(&ran.stdout), ran.stderr);
    ensure!(text.contains(escaped), "{escaped} is not shown\n{}", ran.describe());
    is_harmless(ran)
}

fn tags_and_ids() -> Outcome {
    let stage = Stage::new()?;
    let (set, volume) = ("dsnap \u{202e}\"x\"", "vol\u{2066}\u{200f} 'y'");
    let call = Call::new("capture").option("-o", &stage.out).option("--set-id", set);
    let call = call.member(volume, &stage.sample.members["vol-a"]);
    let call = call.option("--tag", format!("key {EVIL}={EVIL}"));
    is_harmless(&call.succeeds()?)?;
    for command in ["list", "inspect", "verify"] {
        let ran = Call::new(command).arg(&stage.out).succeeds()?;
        shows(&ran, "dsnap \\u{202e}")?;
    }
    let ran = Call::new("inspect").arg(&stage.out).succeeds()?;
    shows(&ran, "key a\\u{1b}]0;title\\u{7}b\\n#c\\r\\u{9b}2J\\u{202e}d=a\\u{1b}")?;
    shows(&ran, "vol\\u{2066}")?;
    is_harmless(&restore(&[&stage.out], &stage.target()).succeeds()?)?;
    // A document has them as they are.
    let report = Call::new("inspect").arg(&stage.out).json()?;
    ensure!(report["set"]["tags"][format!("key {EVIL}")] == EVIL, "{report}");
    ensure!(report["set"]["set_id"] == set, "{report}");
    // So do messages.
    std::fs::remove_file(stage.target())?;
    let other = stage.sample.members["vol-b"].clone();
    let call = Call::new("capture").option("-o", &stage.out).option("--set-id", "dsnap-2");
    call.member("vol-other", &other).succeeds()?;
    let ran = restore(&[&stage.out], &stage.target()).exits(2)?;
    shows(&ran, "vol\\u{2066}")
}

/// The stage's files, in a directory and under names that would do harm.
fn evil_copies(stage: &Stage) -> Outcome<PathBuf> {
    let dir = stage.scratch.path("copies").join(EVIL);
    make_dir(&dir)?;
    for id in ["vol-a", "vol-b", "vol-c"] {
        copy(&stage.file(id)?, &dir.join(format!("{EVIL} {id}.snap")))?;
    }
    Ok(dir)
}

fn paths() -> Outcome {
    let stage = Stage::new()?;
    let dir = evil_copies(&stage)?;
    let escaped = "a\\u{1b}]0;title\\u{7}b\\n#c\\r\\u{9b}2J\\u{202e}d";
    for command in ["inspect", "verify"] {
        shows(&Call::new(command).arg(&dir).succeeds()?, escaped)?;
    }
    write(&dir.join("not a snapshot.snap"), b"nothing of the kind")?;
    shows(&Call::new("list").arg(&dir).exits(4)?, escaped)?;
    std::fs::remove_file(dir.join("not a snapshot.snap"))?;
    let file = dir.join(format!("{EVIL} vol-b.snap"));
    flip_bit(&file, middle(Anatomy::of(&file)?.data().next().ok_or("no data")?))?;
    shows(&Call::new("verify").arg(&dir).exits(4)?, escaped)?;
    let target = dir.join(format!("{EVIL} target"));
    shows(&restore(&[&dir], &target).exits(4)?, escaped)?;
    shows(&restore(&[&dir], &target).arg("--salvage").exits(3)?, escaped)?;
    let map = std::fs::read_to_string(dir.join(format!("{EVIL} target.map")))?;
    ensure!(map.lines().next().is_some_and(|l| l.contains(escaped)), "{map}");
    let out = dir.join("sets");
    let call = stage.sample.capture(&out, "dsnap-0b");
    shows(&call.succeeds()?, escaped)?;
    let whole = dir.join(format!("{EVIL} vol-a.snap"));
    let call = Call::new("rebuild").arg(&whole).option("-o", dir.join("out"));
    shows(&call.option("--sibling", &dir).succeeds()?, escaped)
}

fn paths_in_failures() -> Outcome {
    let stage = Stage::new()?;
    let dir = stage.scratch.path("nowhere").join(EVIL);
    let escaped = "a\\u{1b}]0;title\\u{7}b\\n#c\\r\\u{9b}2J\\u{202e}d";
    let member = &stage.sample.members["vol-a"];
    let new = || Call::new("capture").option("-o", &stage.out);
    for (call, code) in [
        (Call::new("list").arg(&dir), 4),
        (Call::new("verify").arg(&dir), 4),
        (restore(&[&stage.sets], &dir), 7),
        (Call::new("rebuild").arg(&dir).option("-o", stage.target()), 4),
        (new().member("vol-a", &dir), 4),
        (new().member("vol-a", member).option("--layout", &dir), 2),
        (new().member("vol-a", member).option("--parent", &dir), 4),
    ] {
        let ran = call.exits(code)?;
        shows(&ran, escaped)?;
        ensure!(ran.stderr.lines().count() <= 2, "not a message and a hint\n{}", ran.describe());
    }
    // What a file says where a keyword should be is shown in the message.
    let layout = stage.scratch.path("layout.toml");
    write(&layout, b"version = 1\nlogical_size = 1\n\"\\u001b]0;x\\u0007\" = 1\n")?;
    is_harmless(&new().member("vol-a", member).option("--layout", &layout).exits(2)?)
}

/// A path is bytes; in a document it is text all the same, and the document is there.
fn not_utf_8() -> Outcome {
    let stage = Stage::new()?;
    let dir = stage.scratch.path("copies").join(OsString::from_vec(b"caf\xe9".to_vec()));
    make_dir(&dir)?;
    for id in ["vol-a", "vol-b", "vol-c"] {
        copy(&stage.file(id)?, &dir.join(format!("{id}.snap")))?;
    }
    let has = |path: &serde_json::Value| path.as_str().is_some_and(|p| p.contains("caf\u{fffd}"));
    let list = Call::new("list").arg(&dir).json()?;
    ensure!(has(&list["sets"][0]["members"][0]["path"]), "{list}");
    let inspect = Call::new("inspect").arg(&dir).json()?;
    ensure!(has(&inspect["files"][0]["path"]), "{inspect}");
    let verify = Call::new("verify").arg(&dir).json()?;
    ensure!(has(&verify["files"][0]["path"]), "{verify}");
    let target = dir.join("volume.img");
    let restored = restore(&[&dir], &target).json()?;
    ensure!(has(&restored["target"]), "{restored}");
    let failed = restore(&[Path::new(&dir)], &target).json_exits(5)?;
    ensure!(has(&failed["error"]["message"]), "{failed}");
    let captured = stage.sample.capture(&dir.join("sets"), "dsnap-0b").json()?;
    ensure!(has(&captured["directory"]) && has(&captured["files"][0]["path"]), "{captured}");
    write(&dir.join("bad.snap"), b"")?;
    let list = Call::new("list").arg(&dir).json_exits(4)?;
    ensure!(has(&list["unreadable"][0]["path"]), "{list}");
    Ok(())
}
