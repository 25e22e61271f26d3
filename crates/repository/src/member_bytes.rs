//! A member as what parsers read from.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

use restore::image::{Image as _, ImageBytes};
use restore::reader::{Options, Reader};
use restore::snapfmt::{self, ReadAt};
use restore::{Layout, Volume, VolumeMember, layout_file};

/// What is read of a member on demand.
struct OnDemand(Reader);

impl ReadAt for OnDemand {
    fn len(&self) -> u64 {
        self.0.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        ImageBytes(&self.0).read_exact_at(buf, offset)
    }
}

/// The bytes of a member, read on demand.
///
/// # Errors
///
/// When the system has no more threads.
pub fn member_bytes(member: &VolumeMember) -> io::Result<Arc<dyn ReadAt>> {
    let options = Options { cache: 4 << 20, threads: NonZeroUsize::MIN };
    let size = (member.volume_id.clone(), member.source.size());
    // Only a member without a byte makes no volume.
    let Ok(map) = layout_file::linear(&[size], &snapfmt::Limits::DEFAULT) else {
        return Ok(Arc::new(Vec::new()));
    };
    let volume = Volume::new(Layout::new(map), vec![member.clone()]);
    let volume = Arc::new(volume.map_err(io::Error::other)?);
    Ok(Arc::new(OnDemand(Reader::new(volume, &options)?)))
}
