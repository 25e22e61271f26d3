//! `read`: bytes of a volume to standard output or a new file.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use libtest_mimic::Trial;

use super::ranges::{RANGES, truth, with_range};
use crate::support::frames::{Anatomy, middle};
use crate::support::needs::trial;
use crate::support::noise::noise;
use crate::support::run::Call;
use crate::support::scratch::{Scratch, flip_bit, read, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("read_gives_the_bytes_of_a_range", &[], gives_the_bytes),
        trial("read_of_raw_members", &[], of_raw_members),
        trial("read_stops_at_damage", &[], stops_at_damage),
        trial("read_refuses", &[], refuses),
        trial("read_into_a_pipe_that_ends_is_quiet", &[], ends_with_its_reader),
        trial("bytes_are_not_lost_where_standard_output_is_closed", &[], closed),
    ]
}

fn of(stage: &Stage) -> Call {
    Call::new("read").arg(&stage.sets)
}

fn gives_the_bytes() -> Outcome {
    let stage = Stage::new()?;
    for range in RANGES {
        let (truth, start) = truth(&stage, range)?;
        let call = with_range(of(&stage), range);
        for call in [with_range(of(&stage), range).option("-o", "-"), call] {
            let ran = call.succeeds()?;
            ensure!(ran.stdout == truth, "wrong bytes: {}", call.line());
        }
        let call = with_range(of(&stage), range).option("-o", stage.target());
        let document = call.json()?;
        ensure!(read(&stage.target())? == truth, "wrong bytes: {}", call.line());
        let expected = serde_json::json!([start, start + truth.len()]);
        ensure!(document["range"] == expected, "{document}");
        let mode = fs::metadata(stage.target())?.permissions().mode();
        ensure!(mode & 0o777 == 0o600, "mode {mode:o}");
        fs::remove_file(stage.target())?;
    }
    Ok(())
}

fn of_raw_members() -> Outcome {
    let stage = Stage::new()?;
    let raw = stage.out.join("raw");
    write(&raw, &read(&stage.sample.logical)?)?;
    for range in RANGES {
        let call = with_range(Call::new("read").member("vol", &raw), range);
        let (truth, _) = truth(&stage, range)?;
        ensure!(call.succeeds()?.stdout == truth, "wrong bytes: {}", call.line());
    }
    Ok(())
}

/// What lies before the damage is written, to the byte; what lies behind it can be read.
fn stops_at_damage() -> Outcome {
    let stage = Stage::new()?;
    let image = read(&stage.sample.logical)?;
    let file = stage.file("vol-b")?;
    let chunk = Anatomy::of(&file)?.data().nth(2).cloned().ok_or("no third chunk")?;
    flip_bit(&file, middle(&chunk))?;
    let ran = of(&stage).exits(4)?;
    let good = ran.stdout.len();
    ensure!(good > 0 && good < image.len(), "{good} bytes");
    ensure!(ran.stdout == image[..good], "wrong bytes before byte {good}");
    for said in [format!("byte {good} ({good:#x}) cannot be read"), "1-vol-b.snap".into()] {
        ensure!(ran.stderr.contains(&said), "no {said:?} in {}", ran.stderr);
    }
    of(&stage).option("-o", stage.target()).exits(4)?;
    ensure!(read(&stage.target())? == image[..good], "wrong bytes in the file");
    // It is that byte and not the one before.
    let one =
        |offset: usize| of(&stage).option("--offset", offset.to_string()).option("--length", "1");
    one(good).exits(4)?;
    ensure!(one(good - 1).succeeds()?.stdout == image[good - 1..good], "byte {}", good - 1);
    ensure!(one(image.len() - 1).succeeds()?.stdout == image[image.len() - 1..], "the last byte");
    Ok(())
}

fn refuses() -> Outcome {
    let stage = Stage::new()?;
    let bystander = stage.out.join("bystander");
    stage.refuses(of(&stage).option("-o", bystander), 5, &["bystander", "exists already"])?;
    of(&stage).arg("--json").exits(2)?;
    let to_file = || of(&stage).option("-o", stage.target());
    stage.refuses(to_file().option("--offset", "1618433"), 2, &["1618432"])?;
    stage.refuses(to_file().option("--offset", "0x18b201"), 2, &["1618432"])?;
    stage.refuses(to_file().option("--offset", "1").option("--length", "1618432"), 2, &[])?;
    stage.refuses(to_file().option("--set-id", "dsnap-1"), 6, &[])?;
    stage.refuses(of(&stage).option("-o", stage.out.join("nowhere/file")), 7, &["nowhere/file"])
}

/// As other programs do: nothing is said, and the code is that of SIGPIPE.
fn ends_with_its_reader() -> Outcome {
    let scratch = Scratch::new()?;
    let raw = scratch.path("raw");
    write(&raw, &noise(3, 4 << 20))?;
    let call = Call::new("read").member("vol", &raw);
    let piped =
        call.within("exec 3>&1; { \"$@\"; echo $? >&3; } | head -c 1000 >/dev/null; exit; ");
    let ran = piped.succeeds()?;
    ensure!(ran.stdout == b"141\n" && ran.stderr.is_empty(), "{}", ran.describe());
    Ok(())
}

/// What the program was started without is no `/dev/null`.
fn closed() -> Outcome {
    let stage = Stage::new()?;
    let restore = Call::new("restore").arg(&stage.sets).option("-o", "-");
    for call in [of(&stage), restore] {
        let code = call.clone().within("\"$@\" >&-; echo $?; exit; ").succeeds()?;
        ensure!(code.stdout == b"2\n" && code.stderr.contains("closed"), "{}", code.describe());
        call.within("\"$@\" >/dev/null; exit; ").succeeds()?;
    }
    Ok(())
}
