//! Writes the files of `testdata/golden` anew: `cargo run -p snapfmt --example golden`.
//!
//! The files of a released format version are frozen. Run this only while a version is being made,
//! or into another directory (its only argument) to look at what the writer makes today.

#![allow(clippy::print_stdout, reason = "a program for the command line")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;

use support::golden::{directory, expected, files};

fn main() -> std::io::Result<()> {
    let into = std::env::args_os().nth(1).map_or_else(directory, PathBuf::from);
    std::fs::create_dir_all(&into)?;
    let files = files();
    for file in &files {
        std::fs::write(into.join(&file.name), &file.written.bytes)?;
        println!("{}: {} bytes", file.name, file.written.bytes.len());
    }
    std::fs::write(into.join("expected.txt"), expected(&files))
}
