//! Every exit code of the contract, brought about by a real situation. What a failure owes its user beyond
//! the number is in `support/failure.rs`.

#[path = "exit_codes/damage.rs"]
mod damage;
#[path = "exit_codes/done.rs"]
mod done;
#[path = "exit_codes/incomplete.rs"]
mod incomplete;
#[path = "exit_codes/refused.rs"]
mod refused;
#[path = "exit_codes/salvage.rs"]
mod salvage;
#[path = "exit_codes/signals.rs"]
mod signals;
mod support;
#[path = "exit_codes/target.rs"]
mod target;
#[path = "exit_codes/usage.rs"]
mod usage;

use std::process::ExitCode;

use libtest_mimic::Arguments;

use support::loopmount::keep_mounts_private;

fn main() -> ExitCode {
    keep_mounts_private();
    let trials = [
        done::trials(),
        usage::trials(),
        salvage::trials(),
        damage::trials(),
        refused::trials(),
        incomplete::trials(),
        target::trials(),
        signals::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
