//! What people and programs see: help, names that would do harm on a terminal, progress, sets that are not
//! whole, volumes on standard output.

#[path = "output/help.rs"]
mod help;
#[path = "output/names.rs"]
mod names;
#[path = "output/not_whole.rs"]
mod not_whole;
#[path = "output/rebuilt.rs"]
mod rebuilt;
#[path = "output/streamed.rs"]
mod streamed;
mod support;
#[path = "output/terminal.rs"]
mod terminal;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let trials = [
        help::trials(),
        names::trials(),
        terminal::trials(),
        not_whole::trials(),
        rebuilt::trials(),
        streamed::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
