//! Progress while a job runs, and signals that stop it.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use restore::{Counts, Progress};

use crate::args::Common;
use crate::output::{rate, say, size};
use crate::signals::Listener;

const POLL: Duration = Duration::from_millis(50);
/// Between lines where there is no terminal to draw on.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Watches a job: draws its progress and cancels it on SIGINT or SIGTERM.
pub(crate) struct Watch {
    progress: Arc<Progress>,
    signals: Arc<Listener>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts watching a job that takes as long for one byte as for another. `verb` is what it does:
    /// `restoring`.
    pub(crate) fn start(common: &Common, verb: &'static str) -> Self {
        Self::with(common, verb, Share::All, Progress::default())
    }

    /// Starts watching a job over so many bytes of each kind, of which data alone takes time.
    pub(crate) fn of_sparse(common: &Common, verb: &'static str, counts: &Counts) -> Self {
        Self::with(common, verb, Share::of(counts), Progress::default())
    }

    /// Starts watching a job of several runs, one after the other, over so many bytes of each kind; each
    /// byte is gone through `times` times.
    pub(crate) fn of_runs(
        common: &Common,
        verb: &'static str,
        counts: &Counts,
        times: u64,
    ) -> Self {
        let bytes = bytes_of(counts).saturating_mul(times);
        Self::with(common, verb, Share::of(counts), Progress::of_runs(bytes))
    }

    /// Starts watching a job that knows how much of it is data when that has come.
    pub(crate) fn of_stream(common: &Common, verb: &'static str) -> Self {
        Self::with(common, verb, Share::Unknown, Progress::default())
    }

    fn with(common: &Common, verb: &'static str, share: Share, progress: Progress) -> Self {
        let progress = Arc::new(progress);
        let signals = Arc::new(Listener::start());
        let stop = Arc::new(AtomicBool::new(false));
        let view = View::choose(common, verb);
        let pace = Pace { share, since: Instant::now() };
        let thread = {
            let (progress, signals, stop) = (progress.clone(), signals.clone(), stop.clone());
            std::thread::Builder::new()
                .name("progress".into())
                .spawn(move || watch(view, &pace, &progress, &signals, &stop))
                .ok()
        };
        Self { progress, signals, stop, thread }
    }

    /// What to hand to the job.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Ends drawing; whether SIGTERM, rather than SIGINT, stopped the job. Until this is dropped, a signal
    /// ends nothing: what is done can be given its name.
    pub(crate) fn finish(&mut self) -> bool {
        self.end();
        self.is_terminated()
    }

    /// Whether SIGTERM, rather than SIGINT, stopped the job.
    pub(crate) fn is_terminated(&self) -> bool {
        self.signals.is_term()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread only draws; if it failed, nothing is lost.
            let _ = thread.join();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end();
    }
}

enum View {
    Nothing,
    Lines { verb: &'static str, last: Instant },
    Bar(ProgressBar),
}

impl View {
    fn choose(common: &Common, verb: &'static str) -> Self {
        if common.quiet {
            return Self::Nothing;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines { verb, last: Instant::now() };
        }
        let template = "{prefix} {wide_bar} {binary_bytes}/{binary_total_bytes} {msg}";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self::Bar(ProgressBar::new(0).with_style(style).with_prefix(verb))
    }

    fn show(&mut self, progress: &Progress, pace: &Pace) {
        let (done, total) = (progress.done(), progress.total());
        match self {
            Self::Nothing => {}
            Self::Lines { verb, last } => {
                if last.elapsed() >= LINE_EVERY && total > 0 {
                    *last = Instant::now();
                    let (done, total) = (size(done), size(total));
                    say(&format!("{verb}: {done} of {total}, {}", pace.text(progress)));
                }
            }
            // A bar of nothing would look full.
            Self::Bar(_) if total == 0 => {}
            Self::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(pace.text(progress));
            }
        }
    }
}

/// How much of a job is what takes time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Share {
    All,
    Data {
        data: u64,
        bytes: u64,
    },
    /// Not known before the end.
    Unknown,
}

impl Share {
    fn of(counts: &Counts) -> Self {
        let (data, bytes) = (counts.data, bytes_of(counts));
        // Of zeros alone, each counts.
        if data == 0 || data == bytes { Self::All } else { Self::Data { data, bytes } }
    }

    /// What takes time among so many bytes, or may take it.
    fn among(self, all: u64) -> u64 {
        let Self::Data { data, bytes } = self else { return all };
        let data = u128::from(all) * u128::from(data) / u128::from(bytes.max(1));
        u64::try_from(data).unwrap_or(u64::MAX)
    }
}

/// Bytes of all kinds.
fn bytes_of(counts: &Counts) -> u64 {
    let Counts { data, zero, hole, unmapped, .. } = *counts;
    [data, zero, hole, unmapped].into_iter().fold(0, u64::saturating_add)
}

/// How fast a job is and how long it will take.
struct Pace {
    share: Share,
    since: Instant,
}

impl Pace {
    fn text(&self, progress: &Progress) -> String {
        let (done, total) = (progress.done(), progress.total());
        if progress.is_flushing() && done >= total {
            return "all written, being made durable".to_owned();
        }
        let (worked, of, about) = match self.share {
            Share::All => (done, "", "about"),
            Share::Data { .. } => (progress.data(), " of data", "about"),
            Share::Unknown => (progress.data(), " of data", "at most"),
        };
        let rate = rate(worked, self.since.elapsed());
        // Where an earlier run did some of the data, no more is left than there are bytes.
        let left = self.share.among(total).saturating_sub(worked).min(total.saturating_sub(done));
        let time = match left.checked_div(rate) {
            Some(seconds) => {
                format!(", {about} {:#} left", HumanDuration(Duration::from_secs(seconds)))
            }
            None => String::new(),
        };
        format!("{}/s{of}{time}", size(rate))
    }
}

fn watch(mut view: View, pace: &Pace, progress: &Progress, signals: &Listener, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if signals.is_set() {
            progress.cancel();
        }
        view.show(progress, pace);
        std::thread::park_timeout(POLL);
    }
    if let View::Bar(bar) = view {
        bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::Share;
    use restore::Counts;

    #[test]
    fn zeros_take_no_time() {
        let counts = Counts { data: 3, zero: 4, hole: 5, unmapped: 6, ..Counts::default() };
        let share = Share::of(&counts);
        assert_eq!(share, Share::Data { data: 3, bytes: 18 });
        assert_eq!(share.among(36), 6);
        assert_eq!(share.among(u64::MAX), u64::MAX / 6);
        let dense = Counts { data: 3, ..Counts::default() };
        let empty = Counts { hole: 3, ..Counts::default() };
        assert_eq!((Share::of(&dense), Share::of(&empty)), (Share::All, Share::All));
        assert_eq!(Share::Unknown.among(36), 36);
    }
}
