//! What a restore did, as it is printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use restore::snapfmt::Offset;
use restore::{Algorithm, Counts, Report};
use serde::Serialize;

use crate::output::{PathView, line, name, rate, size};
use crate::view::set_name::SetName;

/// One restore.
#[derive(Serialize)]
pub(crate) struct Restored {
    #[serde(flatten)]
    pub set: SetName,
    pub target: PathView,
    pub logical_size: u64,
    /// First and last byte + 1 of the volume that were restored.
    pub range: [u64; 2],
    /// How long the target is, from the first byte restored on.
    pub target_size: u64,
    pub bytes: Bytes,
    pub stored_bytes: u64,
    pub proof: ProofView,
    pub method: String,
    pub target_verified: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hashes: BTreeMap<&'static str, String>,
    pub damage: Vec<DamageView>,
    pub more_damage: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<PathView>,
    pub seconds: f64,
}

/// Logical bytes by what became of them.
#[derive(Serialize)]
pub(crate) struct Bytes {
    pub data: u64,
    pub zero: u64,
    pub hole: u64,
    pub unmapped: u64,
    pub kept: u64,
    pub resumed: u64,
}

/// Bytes of data by how they were proved.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct ProofView {
    pub digest: u64,
    pub crc: u64,
    pub none: u64,
}

#[derive(Serialize)]
pub(crate) struct DamageView {
    member: u32,
    volume_id: String,
    member_range: [u64; 2],
    logical_ranges: Vec<[u64; 2]>,
    message: String,
}

impl Restored {
    /// Of the whole volume; what differs is filled in by the caller.
    pub(crate) fn new(set: SetName, target: PathView, logical_size: u64, report: &Report) -> Self {
        let Counts { data, zero, hole, unmapped, stored, kept, resumed, .. } = report.counts;
        Self {
            set,
            target,
            logical_size,
            range: [0, logical_size],
            target_size: logical_size,
            bytes: Bytes { data, zero, hole, unmapped, kept, resumed },
            stored_bytes: stored,
            proof: ProofView::new(&report.counts),
            method: String::new(),
            target_verified: false,
            hashes: BTreeMap::new(),
            damage: report.damage.iter().map(DamageView::new).collect(),
            more_damage: report.more_damage,
            map: None,
            seconds: 0.0,
        }
    }

    /// With these hashes of the range.
    pub(crate) fn with_hashes(self, hashes: Vec<(Algorithm, String)>) -> Self {
        Self { hashes: hashes.into_iter().map(|(a, hex)| (a.name(), hex)).collect(), ..self }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let rate = rate(self.bytes.data, Duration::from_secs_f64(self.seconds));
        let mut out = String::new();
        // Writing to a string cannot fail.
        let restored = size(self.range[1] - self.range[0]);
        let _ = writeln!(out, "restored {restored} of {} to {}", self.set, self.target);
        let Bytes { data, zero, hole, unmapped, kept, resumed } = self.bytes;
        let _ = writeln!(
            out,
            "  {} data ({} proved by digest), {} zero, {} hole, {} unmapped",
            size(data),
            size(self.proof.digest),
            size(zero),
            size(hole),
            size(unmapped)
        );
        if resumed > 0 {
            let _ = writeln!(out, "  {} done by an earlier run", size(resumed));
        }
        if kept > 0 {
            let _ = writeln!(out, "  {} kept: the target held them already", size(kept));
        }
        if self.target_verified {
            let _ = writeln!(out, "  read back from the medium and compared");
        }
        let [start, end] = self.range;
        let is_all = self.range == [0, self.logical_size];
        let part = if is_all { String::new() } else { format!(" of bytes {start} to {end}") };
        for (algorithm, hex) in &self.hashes {
            let _ = writeln!(out, "  {algorithm} {hex}{part}");
        }
        let content = self.set.content_text(is_all && self.damage.is_empty());
        let _ = writeln!(out, "  {:.1} s, {}/s of data{content}", self.seconds, size(rate));
        for d in &self.damage {
            let _ = writeln!(
                out,
                "  lost: member {} ({}) bytes {} to {}: {}",
                d.member,
                name(&d.volume_id),
                Offset(d.member_range[0]),
                Offset(d.member_range[1]),
                line(&d.message)
            );
        }
        if self.more_damage > 0 {
            let _ =
                writeln!(out, "  lost: {} more places; the map has all bytes", self.more_damage);
        }
        out
    }
}

impl ProofView {
    pub(crate) const fn new(counts: &Counts) -> Self {
        Self { digest: counts.by_digest, crc: counts.by_crc, none: counts.unproved }
    }
}

impl DamageView {
    fn new(damage: &restore::Damage) -> Self {
        Self {
            member: damage.member.0,
            volume_id: damage.volume_id.to_string(),
            member_range: [damage.range.start, damage.range.end],
            logical_ranges: damage.logical.iter().map(|r| [r.start, r.end]).collect(),
            message: damage.cause.to_string(),
        }
    }
}
