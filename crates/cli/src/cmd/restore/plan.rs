//! `plan`: whether a restore would go through, and what it takes; nothing is written.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use restore::engine::{self, Options, RunError};
use restore::sink::NullSink;
use restore::{Progress, Volume};
use serde::Serialize;

use super::{Extent, Ready, are_pipes, check_usage, on_damage, output_path};
use crate::args::{Common, RestoreArgs};
use crate::exit::{Exit, Failure};
use crate::output::{Output, PathView, size};
use crate::view::set_name::SetName;

/// How long decoding is tried, to tell how long all of it will take.
const TRIAL: Duration = Duration::from_millis(700);

#[derive(Serialize)]
struct Plan {
    go: bool,
    #[serde(flatten)]
    set: SetName,
    target: PathView,
    logical_size: u64,
    range: [u64; 2],
    target_size: u64,
    /// What earlier runs have done of it.
    resumed_bytes: u64,
    bytes: Bytes,
    stored_bytes: u64,
    needed_bytes: Option<u64>,
    available_bytes: Option<u64>,
    overwrites: Option<String>,
    sector_size: Option<u32>,
    memory: u64,
    /// `None` where too little was decoded in the time of the trial to tell.
    decode_bytes_per_second: Option<u64>,
    decode_seconds: Option<f64>,
}

#[derive(Serialize)]
struct Bytes {
    data: u64,
    zero: u64,
    hole: u64,
    unmapped: u64,
}

/// Checks all that the restore checks before it writes, and measures how fast chunks decode.
pub(crate) fn run(args: &RestoreArgs, common: &Common, output: Output) -> Result<Exit, Failure> {
    if args.members.is_some() {
        return Err(Failure::Usage {
            message: "plan is for a volume, not for its members".into(),
            hint: "give -o TARGET",
        });
    }
    if are_pipes(args) {
        return Err(Failure::Usage {
            message: "what comes through pipes cannot be looked at beforehand".into(),
            hint: "restore checks it on its way; the image gets its name when all of it is proved",
        });
    }
    check_usage(args)?;
    let ready = Ready::new(args, common)?;
    let resumed_bytes = ready.look_at_what_is_left(args)?;
    let Ready { subject, extent, counts, place, .. } = &ready;
    let options = Options { on_damage: on_damage(args), ..Options::new(common.jobs()) };
    let memory = memory(&subject.volume, args, common);
    let trial = Trial::of(&subject.volume, extent, &options)?;
    let held = place.held.as_ref();
    let plan = Plan {
        go: true,
        set: SetName::of(subject).under(args.overlay.as_deref()),
        target: output_path(args).into(),
        logical_size: subject.volume.size(),
        range: [extent.range.start, extent.range.end],
        target_size: extent.len(),
        resumed_bytes,
        bytes: Bytes {
            data: counts.data,
            zero: counts.zero,
            hole: counts.hole,
            unmapped: counts.unmapped,
        },
        stored_bytes: counts.stored,
        needed_bytes: place.room.map(|room| room.needed),
        available_bytes: place.room.and_then(|room| room.available),
        overwrites: held.map(|held| format!("{}: {}", held.identity(), held.contents())),
        sector_size: held.map(host::interlock::TargetClaim::sector_size),
        memory,
        decode_bytes_per_second: trial.rate(),
        decode_seconds: trial.seconds_for(counts.data),
    };
    output.result(&plan, Plan::text)?;
    Ok(Exit::Done)
}

/// The most memory that the restore will take, all told.
fn memory(volume: &Volume, args: &RestoreArgs, common: &Common) -> u64 {
    let buffers = |reads_back| engine::memory(volume, common.jobs(), reads_back);
    let reads_back = args.target.delta || args.proof.verify_target;
    let buffers = if reads_back { buffers(true).max(buffers(false)) } else { buffers(false) };
    // What is open now is open then as well.
    host::memory::most_so_far().saturating_add(buffers)
}

/// How much was decoded in how much time.
struct Trial {
    data: u64,
    time: Duration,
}

impl Trial {
    fn of(volume: &Volume, extent: &Extent, options: &Options<'_>) -> Result<Self, Failure> {
        let progress = Progress::default();
        let start = Instant::now();
        let (done, ran) = std::thread::scope(|scope| {
            let (sender, finished) = std::sync::mpsc::channel::<()>();
            let progress = &progress;
            scope.spawn(move || {
                // Whether time is up or the run has ended: nothing more is to be tried.
                let _ = finished.recv_timeout(TRIAL);
                progress.cancel();
            });
            let ran = engine::run(volume, extent.range.clone(), &NullSink, options, progress);
            drop(sender);
            (start.elapsed(), ran)
        });
        match ran {
            Ok(_) | Err(RunError::Interrupted) => Ok(Self { data: progress.data(), time: done }),
            Err(error) => Err(Failure::Run { error, terminated: false }),
        }
    }

    /// `None` where nothing came whole, as of a row of many large chunks.
    fn rate(&self) -> Option<u64> {
        (self.data > 0).then(|| crate::output::rate(self.data, self.time))
    }

    fn seconds_for(&self, data: u64) -> Option<f64> {
        if data == 0 {
            return Some(0.0);
        }
        let millis = (u128::from(data) * self.time.as_millis()).checked_div(self.data.into())?;
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)).as_secs_f64())
    }
}

impl Plan {
    fn text(&self) -> String {
        let mut out = String::new();
        let bytes = size(self.range[1] - self.range[0]);
        // Writing to a string cannot fail.
        let _ = writeln!(out, "go: {bytes} of {} to {}", self.set, self.target);
        let Bytes { data, zero, hole, unmapped } = self.bytes;
        let _ = writeln!(
            out,
            "  {} data ({} stored), {} zero, {} hole, {} unmapped",
            size(data),
            size(self.stored_bytes),
            size(zero),
            size(hole),
            size(unmapped)
        );
        if self.resumed_bytes > 0 {
            let [done, all] = [self.resumed_bytes, self.target_size].map(size);
            let _ = writeln!(out, "  goes on: {done} of {all} are done by an earlier run");
        }
        if let Some(needed) = self.needed_bytes {
            let available = self.available_bytes.map_or_else(|| "unknown".to_owned(), size);
            let _ = writeln!(out, "  {} needed, {available} free", size(needed));
        }
        if let Some(overwrites) = &self.overwrites {
            let _ = writeln!(out, "  overwrites {overwrites}");
        }
        let _ = match (self.decode_seconds, self.decode_bytes_per_second) {
            (Some(seconds), Some(rate)) => {
                let rate = size(rate);
                write!(
                    out,
                    "  decoding takes about {seconds:.0} s ({rate}/s), the target may take longer"
                )
            }
            (Some(_), None) => write!(out, "  nothing is to be decoded"),
            (None, _) => {
                let tried = TRIAL.as_secs_f64();
                write!(
                    out,
                    "  what was tried for {tried} s is too little to say how long decoding takes"
                )
            }
        };
        let _ = writeln!(out, "; {} of memory", size(self.memory));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::Trial;
    use std::time::Duration;

    #[test]
    fn nothing_is_said_of_what_did_not_come_whole() {
        let time = Duration::from_millis(700);
        let slow = Trial { data: 0, time };
        assert_eq!(
            (slow.rate(), slow.seconds_for(1 << 40), slow.seconds_for(0)),
            (None, None, Some(0.0))
        );
        let trial = Trial { data: 7 << 20, time };
        assert_eq!(trial.rate(), Some(10 << 20));
        assert_eq!(trial.seconds_for(20 << 20), Some(2.0));
    }
}
