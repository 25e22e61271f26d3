//! The one call to the system that no library wraps: a loop device set up whole, in one step.
#![expect(unsafe_code, reason = "ioctl(2) takes a structure by its address")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use rustix::ioctl::{Opcode, Setter, ioctl};

/// `LOOP_CONFIGURE` of `include/uapi/linux/loop.h`, Linux 5.8 and later.
const LOOP_CONFIGURE: Opcode = 0x4C0A;

/// `struct loop_config` of the same, with its `struct loop_info64`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
    reserved: [u64; 8],
}

// The kernel's structure has no padding, and this one none either: 304 bytes.
const _: () = assert!(size_of::<LoopConfig>() == 304);

/// Which bytes of a file a loop device shows, and how.
pub(super) struct Setup<'f> {
    pub(super) file: &'f File,
    pub(super) offset: u64,
    /// 0 for all there are.
    pub(super) length: u64,
    pub(super) sector_size: u32,
    /// `LO_FLAGS_…`.
    pub(super) flags: u32,
}

/// Makes a free loop device one over a file.
pub(super) fn configure(device: &File, setup: &Setup<'_>) -> io::Result<()> {
    let fd = u32::try_from(setup.file.as_raw_fd()).map_err(io::Error::other)?;
    let config = LoopConfig {
        fd,
        block_size: setup.sector_size,
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: setup.offset,
        size_limit: setup.length,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: setup.flags,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
        reserved: [0; 8],
    };
    // SAFETY: LOOP_CONFIGURE reads a `struct loop_config` from the address it is given and keeps none of
    // it, as Setter describes; LoopConfig is that structure, all of it initialised. The kernel takes a
    // reference of its own to the file whose descriptor is in it, which is open for as long as `setup`
    // borrows it.
    unsafe { ioctl(device, Setter::<LOOP_CONFIGURE, LoopConfig>::new(config)) }?;
    Ok(())
}
