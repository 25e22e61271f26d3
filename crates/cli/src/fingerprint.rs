//! What stands for the content of a volume, in a word without blanks: what journals and overlays are bound to.

/// How the fingerprint of raw members begins.
pub(crate) const RAW: &str = "raw-";
