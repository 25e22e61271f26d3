//! Progress while a job runs, and signals that stop it.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use restore::Progress;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::args::Common;
use crate::output::{rate, size};

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
    /// Starts watching. `verb` is what the job does: `restoring`.
    pub(crate) fn start(common: &Common, verb: &'static str) -> Self {
        let progress = Arc::new(Progress::default());
        let signal = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        for number in [SIGINT, SIGTERM] {
            let value = usize::try_from(number).unwrap_or(usize::MAX);
            // Without the handler the signal ends the process at once, which is no worse than SIGKILL.
            let _ = signal_hook::flag::register_usize(number, signal.clone(), value);
        }
        let view = View::choose(common, verb);
        let thread = {
            let (progress, signal, stop) = (progress.clone(), signal.clone(), stop.clone());
            std::thread::Builder::new()
                .name("progress".into())
                .spawn(move || watch(view, &progress, &signal, &stop))
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
        let template =
            "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self::Bar(ProgressBar::new(0).with_style(style).with_message(verb))
    }

    #[expect(clippy::print_stderr, reason = "progress is for people")]
    fn show(&mut self, progress: &Progress, since: Instant) {
        let (done, total) = (progress.done(), progress.total());
        match self {
            Self::Nothing => {}
            Self::Lines { verb, last } => {
                if last.elapsed() >= LINE_EVERY && total > 0 {
                    *last = Instant::now();
                    let rate = rate(done, since.elapsed());
                    let left = total.saturating_sub(done) / rate.max(1);
                    let (done, total, rate) = (size(done), size(total), size(rate));
                    eprintln!("{verb}: {done} of {total}, {rate}/s, about {left} s left");
                }
            }
            // A bar of nothing would look full.
            Self::Bar(_) if total == 0 => {}
            Self::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
        }
    }
}

fn watch(mut view: View, progress: &Progress, signal: &AtomicUsize, stop: &AtomicBool) {
    let since = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if signal.load(Ordering::Relaxed) != 0 {
            progress.cancel();
        }
        view.show(progress, since);
        std::thread::park_timeout(POLL);
    }
    if let View::Bar(bar) = view {
        bar.finish_and_clear();
    }
}
