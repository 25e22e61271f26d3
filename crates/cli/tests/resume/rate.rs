//! `--limit-rate` holds a restore to so many bytes of data a second, by its own clock.

use libtest_mimic::Trial;

use super::scene::{Kind, Target, bytes, stage};
use crate::support::needs::trial;
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("limited_rate_new_image", &[], || limited(Kind::NewImage)),
        trial("limited_rate_file_in_place", &[], || limited(Kind::File)),
    ]
}

const RATE: f64 = 8.0 * 1024.0 * 1024.0;
/// A busy machine may make it slower, but hardly every time.
const ATTEMPTS: usize = 3;

fn limited(kind: Kind) -> Outcome {
    let stage = stage(24)?;
    let target = Target::make(kind, &stage)?;
    let call = target.restore(&stage).option("--limit-rate", "8M");
    let mut found = Vec::new();
    for _ in 0..ATTEMPTS {
        target.make_dirty(&stage)?;
        let report = call.json()?;
        target.is_finished(&stage.sample.logical)?;
        let data = u32::try_from(bytes(&report, "data")?)?;
        let seconds = report["seconds"].as_f64().ok_or("no seconds")?;
        let rate = f64::from(data) / seconds / RATE;
        let too_fast = rate > 1.1;
        ensure!(!too_fast, "{rate:.2} of the rate allowed: {report}");
        if rate >= 0.9 {
            return Ok(());
        }
        found.push(rate);
    }
    Err(format!("slower than the rate allowed every time: {found:.2?}").into())
}
