//! Every bound this crate believes a file within, in one place.

/// Bounds on what a snapshot file may claim. Nothing is allocated for a claim beyond them.
///
/// The defaults carry a 64 TiB volume with room to spare; a caller with little memory passes
/// smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest manifest, in bytes.
    pub manifest_bytes: u32,
    /// Most members in a roster.
    pub members: u32,
    /// Longest logical volume, in bytes.
    pub logical_size: u64,
    /// Most segments in an extent map.
    pub segments: u32,
    /// Most columns in an extent map.
    pub columns: u32,
    /// Shortest stripe of a striped segment, in bytes. What is read of one row is a piece of its own for
    /// each stripe: shorter ones than a sector would cost more memory than the bytes themselves.
    pub shortest_stripe: u32,
    /// Most chunks in a member.
    pub chunks: u32,
    /// Largest chunk, in bytes.
    pub chunk_size: u32,
    /// Longest chain of a snapshot and its ancestors.
    pub chain: u32,
    /// Most footers in one file (each appender leaves one).
    pub footers: u32,
}

impl Limits {
    /// The bounds of format version 1. A writer never exceeds them.
    pub const DEFAULT: Self = Self {
        manifest_bytes: 1 << 20,
        members: 1024,
        logical_size: 1 << 62,
        segments: 1 << 18,
        columns: 1 << 19,
        shortest_stripe: 512,
        chunks: 1 << 28,
        chunk_size: 16 << 20,
        chain: 1024,
        footers: 64,
    };

    /// Most bytes one chunk of `chunk_size` may take when stored: what the worst zstd frame needs,
    /// rounded up. A frame of stored (raw) blocks costs 3 bytes for each 128 KiB and 18 for its ends.
    pub const fn stored_bytes(chunk_size: u32) -> u32 {
        chunk_size.saturating_add(chunk_size >> 8).saturating_add(1024)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
