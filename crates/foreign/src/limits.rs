//! Every bound on what a backup may claim, in one place.

/// Bounds on what other systems' backups may claim. Nothing is allocated for a claim beyond them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many directories deep a tree is searched.
    pub depth: u32,
    /// Most directories and files in a tree.
    pub files: u64,
    /// Most documents (lists, descriptions) that are read.
    pub documents: u32,
    /// Longest document, in bytes. Those of more than a few MiB are read as a stream, never held.
    pub document_bytes: u64,
    /// Longest name, number or text in a document that is read as a stream, in bytes.
    pub token_bytes: u32,
    /// Most snapshots that documents describe.
    pub snapshots: u32,
    /// Largest volume, in bytes.
    pub volume_size: u64,
    /// Longest chain of a snapshot and what it builds on.
    pub chain: u32,
    /// Most pieces that a device is cut into by those it lies on, as stripes over stripes are. Beyond
    /// that these are read as devices of their own.
    pub flattened: usize,
}

impl Limits {
    /// Bounds that carry 64 TiB of blocks of 512 KiB, each a file of its own, and as many pieces as an
    /// extent map has segments.
    pub const DEFAULT: Self = Self {
        depth: 32,
        files: 1 << 28,
        documents: 1 << 20,
        document_bytes: 32 << 30,
        token_bytes: 64 << 10,
        snapshots: 1 << 18,
        volume_size: 64 << 40,
        chain: 1024,
        flattened: disk::pieces::FLATTENED,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
