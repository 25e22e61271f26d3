//! Filesystems without modes of their own.

/// FAT, as `statfs(2)` calls it.
pub(crate) const FAT: u64 = 0x4d44;
/// exFAT.
pub(crate) const EXFAT: u64 = 0x2011_bab0;

/// Whether a filesystem of this type gives all files the mode that its mount says.
pub(crate) const fn has_no_modes(filesystem: u64) -> bool {
    matches!(filesystem, FAT | EXFAT)
}
