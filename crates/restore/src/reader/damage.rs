//! The damage that reads have come upon.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use snapfmt::MemberNo;

use crate::report::Damage;
use crate::source::ReadError;
use crate::volume::Volume;

/// How many places are kept: whoever has more of them needs `verify`, which lists them all.
const MOST: usize = 256;

/// Each damaged place once.
#[derive(Debug, Default)]
pub(super) struct Found(Mutex<Vec<Damage>>);

impl Found {
    /// Takes note that these bytes of a member cannot be read.
    pub(super) fn add(
        &self,
        volume: &Volume,
        member: MemberNo,
        range: &Range<u64>,
        cause: &Arc<ReadError>,
    ) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |d: &Damage| {
            d.member == member && d.range.start <= range.start && range.end <= d.range.end
        };
        if found.len() >= MOST || found.iter().any(known) {
            return;
        }
        found.push(Damage {
            member,
            volume_id: volume.member(member).volume_id.clone(),
            range: range.clone(),
            logical: volume.layout().logical_ranges(member, range),
            cause: Arc::clone(cause),
        });
    }

    pub(super) fn list(&self) -> Vec<Damage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
