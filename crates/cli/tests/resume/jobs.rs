//! `deploy/k8s`: the very commands of the jobs, run by a shell for all indices at the same time.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use libtest_mimic::Trial;

use super::manifests::{command, only, setting};
use super::scene::{Kind, Target, stage};
use crate::support::needs::{LOOP_DEVICE, trial};
use crate::support::run::BINARY;
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("commands_of_the_jobs_file", &[], || jobs(Kind::File)),
        trial("commands_of_the_jobs_device", &LOOP_DEVICE, || jobs(Kind::Device)),
    ]
}

/// A pod of a job: its command with the paths of its mounts moved to where the test has them.
fn pod(manifest: &str, stage: &Stage, target: &Target, index: &str) -> Outcome<Command> {
    let mut words = command(&only(manifest)?)?;
    let script = words.pop().ok_or("no script")?;
    let journals = stage.scratch.dir("journals")?;
    let moved = |script: &str, from: &str, to: &Path| {
        // A mount is a word of its own, or the beginning of a quoted one.
        script
            .replace(&format!(" {from} "), &format!(" {} ", to.display()))
            .replace(&format!("\"{from}/"), &format!("\"{}/", to.display()))
    };
    let script = moved(&moved(&script, "/sets", &stage.sets), "/journals", &journals);
    let mut path = OsString::from(Path::new(BINARY).parent().ok_or("no directory")?);
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let (shell, flags) = words.split_first().ok_or("no shell")?;
    let mut command = Command::new(shell);
    command
        .args(flags)
        .arg(script)
        .env("PATH", path)
        .env("JOB_COMPLETION_INDEX", index)
        .env("PARTS", setting("PARTS")?)
        .env("SET_ID", "dsnap-0a")
        .env("TARGET", &target.path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

/// How a pod ended: with this exit code, or why not.
fn ended(child: Child, code: i32) -> Outcome {
    let output = child.wait_with_output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(code), "{}, not {code}: {stderr}", output.status);
    Ok(())
}

fn jobs(kind: Kind) -> Outcome {
    let stage = stage(16)?;
    let target = Target::make(kind, &stage)?;
    let verify = |code: i32| ended(pod("verify.yaml", &stage, &target, "")?.spawn()?, code);
    verify(4)?;
    let parts: usize = setting("PARTS")?.parse()?;
    let mut pods = Vec::new();
    for index in 0..parts {
        let index = index.to_string();
        pods.push((pod("restore.yaml", &stage, &target, &index)?.spawn()?, index));
    }
    for (child, index) in pods {
        // A pod that is refused, by a fork of this test that holds its files for a moment, starts again.
        if ended(child, 0).is_err() {
            ended(pod("restore.yaml", &stage, &target, &index)?.spawn()?, 0)?;
        }
    }
    verify(0)?;
    target.is_finished(&stage.sample.logical)?;
    let left = std::fs::read_dir(stage.scratch.path("journals"))?.count();
    ensure!(left == 0, "{left} journals are left");
    Ok(())
}
