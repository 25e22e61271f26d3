//! What was done and what was found damaged.

use std::ops::Range;
use std::sync::Arc;

use snapfmt::{MemberNo, VolumeId};

use crate::layout::push_joined;
use crate::ranges::RangeSet;
use crate::source::{Proof, ReadError};

/// Bytes of a job by what they were, and how the data was proved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Logical bytes that were data.
    pub data: u64,
    /// Logical bytes that the source read as zeros.
    pub zero: u64,
    /// Logical bytes that the source had nothing for.
    pub hole: u64,
    /// Logical bytes that no member holds.
    pub unmapped: u64,
    /// Stored bytes read for the data.
    pub stored: u64,
    /// Data bytes proved by a cryptographic digest.
    pub by_digest: u64,
    /// Data bytes proved by a checksum.
    pub by_crc: u64,
    /// Data bytes that nothing proves.
    pub unproved: u64,
    /// Logical bytes of any kind that the target held already, so that they were not written.
    pub kept: u64,
    /// Logical bytes that an earlier run had made durable; they are in none of the other counts.
    pub resumed: u64,
}

impl Counts {
    /// Takes in those of another job.
    pub fn add(&mut self, other: &Self) {
        self.data += other.data;
        self.zero += other.zero;
        self.hole += other.hole;
        self.unmapped += other.unmapped;
        self.stored += other.stored;
        self.by_digest += other.by_digest;
        self.by_crc += other.by_crc;
        self.unproved += other.unproved;
        self.kept += other.kept;
        self.resumed += other.resumed;
    }

    /// Counts bytes of data, and how they were proved.
    pub fn count_data(&mut self, bytes: u64, proof: Proof) {
        self.data += bytes;
        match proof {
            Proof::Digest => self.by_digest += bytes,
            Proof::Crc => self.by_crc += bytes,
            Proof::None => self.unproved += bytes,
        }
    }
}

/// A stretch of a member that could not be read as it was stored.
#[derive(Clone, Debug)]
pub struct Damage {
    /// Which member.
    pub member: MemberNo,
    /// Its volume id.
    pub volume_id: VolumeId,
    /// Which of its bytes.
    pub range: Range<u64>,
    /// Which bytes of the logical volume they are.
    pub logical: Vec<Range<u64>>,
    /// What is wrong.
    pub cause: Arc<ReadError>,
}

impl Damage {
    /// More logical ranges than these are not told as one: of a member under stripes that cannot be read
    /// at all, each stripe is one.
    pub const PIECES: usize = 1024;

    /// Takes in the damage of the bytes that follow, if the same is wrong with them.
    pub(crate) fn join(&mut self, next: &Self) -> bool {
        let goes_on = self.logical.len().saturating_add(next.logical.len()) <= Self::PIECES
            && self.member == next.member
            && self.range.end == next.range.start
            && self.cause.is_like(&next.cause);
        if goes_on {
            self.range.end = next.range.end;
            for range in &next.logical {
                push_joined(&mut self.logical, range.clone());
            }
        }
        goes_on
    }
}

/// The outcome of a job over a volume.
#[derive(Debug, Default)]
pub struct Report {
    /// Bytes by kind.
    pub counts: Counts,
    /// What was found damaged, in logical order; a run of a member's bytes with which the same is wrong
    /// is one. The first [`Report::KEPT`] of them.
    pub damage: Vec<Damage>,
    /// How many more there are.
    pub more_damage: u64,
    /// All logical bytes that are lost.
    pub lost: RangeSet,
    /// Logical bytes that a target was found not to hold as it should.
    pub mismatches: RangeSet,
}

impl Report {
    /// So many places with damage are kept with all that is known of them. Others are counted.
    pub const KEPT: usize = 1000;

    /// The damaged logical bytes.
    pub const fn damaged_ranges(&self) -> &RangeSet {
        &self.lost
    }
}
