//! `inspect`: all that is known of one set, and what lies in it.

mod backup;
mod raw;
mod set;

use repository::AnySet;

use crate::args::{Common, SetArgs};
use crate::exit::{Exit, Failure};
use crate::given::{Found, Given};
use crate::output::{Output, note};

pub(crate) use raw::show as show_raw;

/// Shows the set that is meant, or raw members, also when they are not whole; the exit code then says so.
pub(crate) fn run(args: &SetArgs, common: &Common, output: Output) -> Result<Exit, Failure> {
    let given = Given::look(args, common)?;
    match &given.found {
        Found::Sets(repository) => match given.set(repository)? {
            AnySet::Files(set) => set::show(&given, set, output),
            AnySet::Backup(set) => backup::show(&given, set.into_owned(), output),
        },
        Found::Raw(members) => show_raw(&given, members, output),
    }
}

/// What was shown is not all that should be there.
fn verdict(failure: &Failure) -> Exit {
    note(&failure.message());
    failure.exit()
}
