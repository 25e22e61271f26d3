//! `read`: bytes of a volume to standard output or a new file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use restore::engine::OnDamage;
use restore::extract::{ExtractError, Output as Extracted, extract};
use restore::reader::{Options, Reader};
use restore::snapfmt::Offset;
use serde::Serialize;

use super::restore::{counted, new_file, range_of};
use crate::args::{Common, ReadArgs};
use crate::exit::{Exit, Failure};
use crate::given::Given;
use crate::output::{Output, PathView, size};
use crate::view::set_name::SetName;
use crate::watch::Watch;

#[derive(Serialize)]
struct Read {
    #[serde(flatten)]
    set: SetName,
    output: PathView,
    logical_size: u64,
    range: [u64; 2],
    seconds: f64,
}

/// Reads bytes of the volume selected.
pub(crate) fn run(args: &ReadArgs, common: &Common, output: Output) -> Result<Exit, Failure> {
    let start = Instant::now();
    let path = args.output.as_deref().filter(|path| *path != Path::new("-"));
    if path.is_none() {
        check_stdout(output)?;
    }
    let subject = Given::look(&args.set, common)?.subject()?;
    let set = SetName::of(&subject);
    let volume = Arc::new(subject.volume);
    let range = range_of(args.offset, args.length, volume.size())?;
    let counts = counted(&volume, range.clone(), OnDamage::Salvage { fill: 0 })?;
    let options = Options { threads: common.jobs(), ..Options::default() };
    let reader = Reader::new(Arc::clone(&volume), &options).map_err(Failure::System)?;
    let target = path.unwrap_or(Path::new("standard output"));
    let mut file = open(path, target)?;
    let out = match path {
        Some(_) => Extracted::File(&mut file),
        None => Extracted::Stream(&mut file),
    };
    let mut watch = Watch::of_sparse(common, "reading", &counts);
    let result = extract(&reader, range.clone(), out, watch.progress());
    let terminated = watch.finish();
    // Who has read enough is not told so: `read … | head`.
    if path.is_none()
        && let Err(ExtractError::Output(error)) = &result
        && error.kind() == io::ErrorKind::BrokenPipe
    {
        return Ok(Exit::ReaderGone);
    }
    result.map_err(|error| Failure::Extract { error, target: target.to_owned(), terminated })?;
    if let Some(path) = path {
        let read = Read {
            set,
            output: path.into(),
            logical_size: volume.size(),
            range: [range.start, range.end],
            seconds: start.elapsed().as_secs_f64(),
        };
        output.result(&read, |read| read.text(&range))?;
    }
    Ok(Exit::Done)
}

impl Read {
    fn text(&self, range: &Range<u64>) -> String {
        let bytes = size(range.end - range.start);
        format!("{}: {bytes} from byte {} on", self.output, Offset(range.start))
    }
}

/// Standard output takes the bytes, and nothing else.
fn check_stdout(output: Output) -> Result<(), Failure> {
    let Some(message) = output.refuses_bytes() else { return Ok(()) };
    Err(Failure::Usage { message: message.into(), hint: "-o FILE writes the bytes to a file" })
}

fn open(path: Option<&Path>, target: &Path) -> Result<File, Failure> {
    match path {
        Some(path) => new_file(path).map(|(_, file)| file),
        None => io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map(File::from)
            .map_err(|error| Failure::Target { path: target.to_owned(), error }),
    }
}
