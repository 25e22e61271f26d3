//! Several things measured in turn, round after round, so that whatever else the machine does falls
//! on all of them alike. What counts is the ratio of their medians.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Share of the machine that others may use during a measurement that counts.
const DISTURBED: f64 = 0.05;
const PAUSE: Duration = Duration::from_millis(500);

/// One thing to measure.
pub struct Contender<'a> {
    /// What it is.
    pub name: String,
    prepare: Box<dyn FnMut() + 'a>,
    work: Box<dyn FnMut() + 'a>,
    times: Vec<Duration>,
    processor: Vec<Duration>,
}

struct Sample {
    time: Duration,
    processor: Duration,
    /// Whether other processes were busy meanwhile.
    disturbed: bool,
}

impl std::fmt::Debug for Contender<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contender").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> Contender<'a> {
    /// Measures `work`.
    pub fn new(name: &str, work: impl FnMut() + 'a) -> Self {
        Self {
            name: name.to_owned(),
            prepare: Box::new(|| {}),
            work: Box::new(work),
            times: Vec::new(),
            processor: Vec::new(),
        }
    }

    /// Calls `prepare` before each measurement, outside of it.
    #[must_use]
    pub fn after(mut self, prepare: impl FnMut() + 'a) -> Self {
        self.prepare = Box::new(prepare);
        self
    }

    fn once(&mut self) -> Sample {
        (self.prepare)();
        let (start, used, others) = (Instant::now(), processor_time(), Others::now());
        (self.work)();
        let time = start.elapsed();
        let processor = processor_time().saturating_sub(used);
        Sample { time, processor, disturbed: others.share_since(time) > DISTURBED }
    }

    /// Once, and again while others disturb it and `patience` lasts.
    fn undisturbed(&mut self, patience: &mut Duration) -> Sample {
        loop {
            let sample = self.once();
            let lost = sample.time + PAUSE;
            if !sample.disturbed || *patience < lost {
                return sample;
            }
            *patience -= lost;
            thread::sleep(PAUSE);
        }
    }

    /// Median of the elapsed times, in seconds.
    pub fn seconds(&self) -> f64 {
        median(&self.times)
    }

    /// Median of the processor times of all threads, in seconds.
    pub fn processor_seconds(&self) -> f64 {
        median(&self.processor)
    }

    /// Median over the rounds of this one's time divided by the other's in the same round.
    pub fn ratio_to(&self, other: &Self) -> f64 {
        let pairs = self.times.iter().zip(&other.times);
        let mut ratios: Vec<f64> = pairs.map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Runs every contender once to warm up, then `rounds` times, one after the other. What was measured
/// while other processes were busy is measured again, as long as `patience` lasts; returns how many
/// samples were taken all the same.
pub fn run(contenders: &mut [Contender<'_>], rounds: usize, mut patience: Duration) -> usize {
    for contender in &mut *contenders {
        contender.once();
    }
    let mut disturbed = 0;
    for _ in 0..rounds {
        for contender in &mut *contenders {
            let sample = contender.undisturbed(&mut patience);
            contender.times.push(sample.time);
            contender.processor.push(sample.processor);
            disturbed += usize::from(sample.disturbed);
        }
    }
    disturbed
}

fn median(times: &[Duration]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}

/// What all threads of this process have used so far.
fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// What other processes have used of all processors, in the kernel's ticks. Time in the kernel is
/// left out: most of it is work that this process caused.
struct Others {
    user_ticks: u64,
}

impl Others {
    fn now() -> Self {
        let all = fs::read_to_string("/proc/stat").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // "cpu user nice ..."; "pid (name) state ..." with user time as the 12th behind the name.
        let all: u64 = numbers(&all, 1).take(2).sum();
        let own = own.rsplit_once(')').and_then(|(_, rest)| numbers(rest, 11).next());
        Self { user_ticks: all.saturating_sub(own.unwrap_or(0)) }
    }

    /// The share of the machine that others had during the last `elapsed`.
    fn share_since(&self, elapsed: Duration) -> f64 {
        const TICKS_A_SECOND: f64 = 100.0;
        let ticks = Self::now().user_ticks.saturating_sub(self.user_ticks);
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let [ticks, processors] =
            [ticks, processors as u64].map(|n| f64::from(u32::try_from(n).unwrap_or(u32::MAX)));
        // One tick is noise.
        (ticks - 1.0) / TICKS_A_SECOND / processors / elapsed.as_secs_f64()
    }
}

fn numbers(text: &str, skip: usize) -> impl Iterator<Item = u64> {
    text.split_whitespace().skip(skip).map(|word| word.parse().unwrap_or(0))
}
