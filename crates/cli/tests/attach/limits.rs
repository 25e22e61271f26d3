//! What the system does not give is said, and nothing is attached then: no open files, no room for the result.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::support::attachment::{ATTACH, Attachment, attach, unused_name};
use crate::support::needs::trial;
use crate::support::run::BINARY;
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("too_few_open_files_end_attach_with_a_word", &ATTACH, few_open_files),
        trial("a_result_that_cannot_be_said_is_taken_down", &ATTACH, unsaid),
    ]
}

fn few_open_files() -> Outcome {
    let stage = Stage::new()?;
    let mut refused = 0;
    for most in 6..40 {
        let name = unused_name();
        let started = Instant::now();
        let limit = format!("ulimit -n {most}; exec timeout -s KILL 60");
        let ran = attach(&stage.sets, &name).within(&limit).run()?;
        ensure!(started.elapsed() < Duration::from_secs(30), "ulimit -n {most} takes long");
        if ran.status.code() == Some(0) {
            let document = serde_json::Value::Null;
            Attachment { name, document }.detach().succeeds()?;
            continue;
        }
        refused += 1;
        ensure!(ran.status.code() == Some(1), "ulimit -n {most}: {}", ran.describe());
        for word in ["Too many open files", "ulimit -n"] {
            ensure!(ran.stderr.contains(word), "ulimit -n {most}: {}", ran.describe());
        }
        let left = std::path::Path::new("/run/snaprestore").join(&name);
        ensure!(!left.exists(), "ulimit -n {most} leaves {}", left.display());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        ensure!(!mounts.contains(&name), "ulimit -n {most} leaves a mount:\n{mounts}");
    }
    // Both were seen.
    ensure!((1..34).contains(&refused), "{refused} of 34 were refused");
    Ok(())
}

fn unsaid() -> Outcome {
    let stage = Stage::new()?;
    for options in [&[][..], &["--json"], &["--foreground"]] {
        let name = unused_name();
        let full = File::options().write(true).open("/dev/full")?;
        let mut call = Command::new(BINARY);
        call.arg("attach").arg(&stage.sets).args(["--name", &name]).args(options);
        let ran = call.stdin(Stdio::null()).stdout(full).output()?;
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        ensure!(ran.status.code() == Some(1), "{options:?}: {}: {said}", ran.status);
        ensure!(said.contains("nothing is attached"), "{options:?}: {said}");
        let left = std::path::Path::new("/run/snaprestore").join(&name);
        ensure!(!left.exists(), "{} is left", left.display());
    }
    Ok(())
}
