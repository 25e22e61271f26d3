//! Places of a volume where a filesystem must have something that can be recognised.

/// A place of the volume, small enough to be in one stripe, and what must be there.
pub(super) struct Place {
    /// First byte of the volume.
    pub(super) offset: u64,
    /// How many bytes are looked at.
    pub(super) len: usize,
    /// What must be there.
    pub(super) test: Box<dyn Test>,
}

/// What must be at a place.
pub(super) trait Test {
    /// Whether these bytes of the place are that.
    fn verdict(&self, bytes: &[u8]) -> Verdict;
}

/// What was found at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// What must be there.
    Fits,
    /// Nothing that speaks for or against it.
    Nothing,
    /// Something else.
    Differs,
}

impl Verdict {
    pub(super) const fn of(fits: bool) -> Self {
        if fits { Self::Fits } else { Self::Differs }
    }
}

/// What a volume that begins with a superblock must have elsewhere, and the superblock.
pub(super) struct Expected<F> {
    pub(super) filesystem: &'static str,
    /// Bytes that the volume must have.
    pub(super) size: u64,
    pub(super) places: Vec<Place>,
    pub(super) superblock: F,
}
