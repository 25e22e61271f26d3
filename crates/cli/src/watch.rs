//! Progress while a job runs, and signals that stop it.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use restore::{Counts, Progress};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::args::Common;
use crate::output::{rate, say, size};

const POLL: Duration = Duration::from_millis(50);
/// Between lines where there is no terminal to draw on.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Watches a job: draws its progress and cancels it on SIGINT or SIGTERM.
pub(crate) struct Watch {
    progress: Arc<Progress>,
    signal: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts watching a job that takes as long for one byte as for another. `verb` is what it does:
    /// `restoring`.
    pub(crate) fn start(common: &Common, verb: &'static str) -> Self {
        Self::with(common, verb, Share::ALL)
    }

    /// Starts watching a job over so many bytes of each kind, of which data alone takes time.
    pub(crate) fn of_sparse(common: &Common, verb: &'static str, counts: &Counts) -> Self {
        Self::with(common, verb, Share::of(counts))
    }

    fn with(common: &Common, verb: &'static str, share: Share) -> Self {
        let progress = Arc::new(Progress::default());
        let signal = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        for number in [SIGINT, SIGTERM] {
            let value = usize::try_from(number).unwrap_or(usize::MAX);
            // Without the handler the signal ends the process at once, which is no worse than SIGKILL.
            let _ = signal_hook::flag::register_usize(number, signal.clone(), value);
        }
        let view = View::choose(common, verb);
        let pace = Pace { share, since: Instant::now() };
        let thread = {
            let (progress, signal, stop) = (progress.clone(), signal.clone(), stop.clone());
            std::thread::Builder::new()
                .name("progress".into())
                .spawn(move || watch(view, &pace, &progress, &signal, &stop))
                .ok()
        };
        Self { progress, signal, stop, thread }
    }

    /// What to hand to the job.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Ends watching; whether SIGTERM, rather than SIGINT, stopped the job.
    pub(crate) fn finish(mut self) -> bool {
        self.end();
        self.signal.load(Ordering::Relaxed) == usize::try_from(SIGTERM).unwrap_or(0)
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
#[derive(Clone, Copy)]
struct Share {
    data: u64,
    bytes: u64,
}

impl Share {
    const ALL: Self = Self { data: 1, bytes: 1 };

    fn of(counts: &Counts) -> Self {
        let Counts { data, zero, hole, unmapped, .. } = *counts;
        // Of zeros alone, each counts.
        if data == 0 { Self::ALL } else { Self { data, bytes: data + zero + hole + unmapped } }
    }

    const fn is_all(self) -> bool {
        self.data == self.bytes
    }

    /// What takes time among so many bytes.
    fn among(self, bytes: u64) -> u64 {
        let data = u128::from(bytes) * u128::from(self.data) / u128::from(self.bytes.max(1));
        u64::try_from(data).unwrap_or(u64::MAX)
    }
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
        let (worked, of) =
            if self.share.is_all() { (done, "") } else { (progress.data(), " of data") };
        let rate = rate(worked, self.since.elapsed());
        // Where an earlier run did some of the data, no more is left than there are bytes.
        let left = self.share.among(total).saturating_sub(worked).min(total.saturating_sub(done));
        let time = match left.checked_div(rate) {
            Some(seconds) => {
                format!(", about {:#} left", HumanDuration(Duration::from_secs(seconds)))
            }
            None => String::new(),
        };
        format!("{}/s{of}{time}", size(rate))
    }
}

fn watch(
    mut view: View,
    pace: &Pace,
    progress: &Progress,
    signal: &AtomicUsize,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        if signal.load(Ordering::Relaxed) != 0 {
            progress.cancel();
        }
        view.show(progress, pace);
        std::thread::park_timeout(POLL);
    }
    if let View::Bar(bar) = view {
        bar.finish_and_clear();
    }
}
