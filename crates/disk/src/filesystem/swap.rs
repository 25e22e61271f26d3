//! Swap space: `union swap_header` (`include/linux/swap.h`), the last page's number at 1028.

use super::{Facts, State};
use crate::signature::Probe;

pub(super) fn facts(probe: &Probe<'_>) -> Facts {
    let page = [4_u64, 8, 16, 64].map(|kib| kib << 10).into_iter().find(|page| {
        let at = page - 10;
        probe.has(at, b"SWAPSPACE2") || probe.has(at, b"S1SUSPEND")
    });
    let is_hibernated = page.is_some_and(|page| probe.has(page - 10, b"S1SUSPEND"));
    let last = probe.le32(1028).map(u64::from);
    Facts {
        size: page.zip(last).and_then(|(page, last)| (last + 1).checked_mul(page)),
        block: page,
        // A hibernated system wakes up from here and goes on with what it has mounted.
        state: if is_hibernated { State::NotUnmounted } else { State::Unknown },
        ..Facts::default()
    }
}
