//! `rebuild`: a file with a lost index, made whole.

use repository::catalog::Lookup;
use repository::rebuild::rebuild;
use restore::snapfmt::SnapshotId;
use serde::Serialize;

use crate::args::RebuildArgs;
use crate::exit::{Exit, Failure};
use crate::output::{Output, PathView};
use crate::select;

#[derive(Serialize)]
struct View {
    file: PathView,
    output: PathView,
    records: u64,
    snapshot_id: SnapshotId,
    sealed: bool,
}

/// Rebuilds one file.
pub(crate) fn run(args: &RebuildArgs, output: Output) -> Result<Exit, Failure> {
    let siblings = select::catalog(&args.sibling);
    let rebuilt = rebuild(&args.file, &args.output, &siblings, &Lookup::default())
        .map_err(Failure::Rebuild)?;
    let view = View {
        file: (&args.file).into(),
        output: (&args.output).into(),
        records: rebuilt.records,
        snapshot_id: rebuilt.snapshot_id,
        sealed: rebuilt.sealed,
    };
    output.result(&view, |v| {
        let proof = if v.sealed {
            "every chunk was decoded and compared with its BLAKE3; the set's seal names this content"
        } else {
            "every chunk was decoded and compared with its BLAKE3; all records are there, no seal was found"
        };
        format!(
            "rebuilt {} as {}: {} records, snapshot {}; {proof}",
            v.file, v.output, v.records, v.snapshot_id
        )
    })?;
    Ok(Exit::Done)
}
