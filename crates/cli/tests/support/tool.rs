//! Stock programs: found even where the system directories are not in `PATH`, run to a clean exit, with the whole
//! command line in the message when they fail.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::Outcome;

/// The full path of a program.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// Runs a program that must succeed and returns its standard output.
pub(crate) fn run<I, S>(name: &str, args: I) -> Outcome<String>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let args: Vec<OsString> = args.into_iter().map(|a| a.as_ref().to_owned()).collect();
    let output = output(name, &args)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!(
        "{} ended with {}\nstdout: {}\nstderr: {}",
        line(name, &args),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    )
    .into())
}

/// Two files have the same bytes; the message names the first difference.
pub(crate) fn same_bytes(a: &Path, b: &Path) -> Outcome {
    run("cmp", [a, b]).map(drop)
}

/// Two trees have the same files with the same bytes and links.
pub(crate) fn same_tree(a: &Path, b: &Path) -> Outcome {
    let flags = ["-r", "--no-dereference", "--exclude=lost+found"].map(OsStr::new);
    run("diff", flags.into_iter().chain([a.as_os_str(), b.as_os_str()])).map(drop)
}

fn output(name: &str, args: &[OsString]) -> Outcome<Output> {
    let program = find(name).ok_or_else(|| format!("no program {name}"))?;
    Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{}: {e}", line(name, args)).into())
}

fn line(name: &str, args: &[OsString]) -> String {
    let mut line = name.to_owned();
    for arg in args {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}
