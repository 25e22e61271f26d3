//! Results as logical and as stored bytes a second.

use std::time::{Duration, Instant};

use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};

const GIB: f64 = 1_073_741_824.0;
const MIB: f64 = 1_048_576.0;

/// Elapsed time, shown as two rates. Criterion calls them elements (here: stored bytes) and bytes
/// (here: logical bytes).
#[derive(Clone, Copy, Debug)]
pub struct Rates;

/// One iteration handles this much.
pub const fn throughput(logical: u64, stored: u64) -> Throughput {
    Throughput::ElementsAndBytes { elements: stored, bytes: logical }
}

impl Measurement for Rates {
    type Intermediate = Instant;
    type Value = Duration;

    fn start(&self) -> Instant {
        WallTime.start()
    }

    fn end(&self, start: Instant) -> Duration {
        WallTime.end(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        WallTime.add(a, b)
    }

    fn zero(&self) -> Duration {
        WallTime.zero()
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &Formatter
    }
}

struct Formatter;

impl ValueFormatter for Formatter {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_values(typical, values)
    }

    fn scale_throughputs(
        &self,
        typical: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        let (bytes, units) = match throughput {
            Throughput::Elements(stored) => (*stored, ["MiB/s stored", "GiB/s stored"]),
            Throughput::Bytes(logical) => (*logical, ["MiB/s logical", "GiB/s logical"]),
            other => return WallTime.formatter().scale_throughputs(typical, other, values),
        };
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown with four digits")]
        let nanoseconds_for_one_a_second = bytes as f64 * 1e9;
        let (scale, [small, large]) = (nanoseconds_for_one_a_second, units);
        let (divisor, unit) = if scale / typical < GIB { (MIB, small) } else { (GIB, large) };
        for value in values {
            *value = scale / *value / divisor;
        }
        unit
    }

    fn scale_for_machines(&self, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_for_machines(values)
    }
}
