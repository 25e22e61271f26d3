//! What is left of the quotas of a file's user and group.

use std::fmt;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use nix::sys::quota::{QuotaType, quotactl_get};
use rustix::process::{getegid, geteuid};

use super::Spot;
use crate::mounts;

/// Whose quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The user with this id.
    User(u32),
    /// The group with this id.
    Group(u32),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user {id}"),
            Self::Group(id) => write!(f, "group {id}"),
        }
    }
}

/// Limits are in blocks of this many bytes, whatever the filesystem's are (`QIF_DQBLKSIZE` in
/// `include/uapi/linux/quota.h`).
const LIMIT_UNIT: u64 = 1024;

/// A new file in a directory with this bit gets the directory's group (`inode(7)`).
const SET_GROUP_ID: u32 = 0o2000;

/// Bytes left for the file, with those it has, up to the hard limit of each owner that has one. The
/// soft limit may be passed for days.
///
/// A filesystem without quotas answers with ESRCH, one that is on no device or knows no quotas with
/// ENOTBLK, ENOSYS or EINVAL, and other people's quotas are told to root alone, by EPERM
/// (`quotactl(2)`): then there is none that is known.
pub(super) fn left(spot: &Spot<'_>) -> Vec<(Owner, u64)> {
    let there = PathBuf::from(format!("/proc/self/fd/{}", spot.there.as_raw_fd()));
    let Some(mount) = mounts::of(&there) else { return Vec::new() };
    let meta = &spot.meta;
    let user = if spot.is_file { meta.st_uid } else { geteuid().as_raw() };
    let inherits = spot.is_file || meta.st_mode & SET_GROUP_ID != 0;
    let group = if inherits { meta.st_gid } else { getegid().as_raw() };
    let owners = [Owner::User(user), Owner::Group(group)].into_iter();
    owners
        .filter_map(|owner| {
            let (which, id) = match owner {
                Owner::User(id) => (QuotaType::USRQUOTA, id),
                Owner::Group(id) => (QuotaType::GRPQUOTA, id),
            };
            // The system takes the id as it is, though C calls it signed.
            let quota = quotactl_get(which, &mount.source, id.cast_signed()).ok()?;
            let limit = quota.blocks_hard_limit().filter(|limit| *limit != 0)?;
            let limit = limit.saturating_mul(LIMIT_UNIT);
            let left = limit.saturating_sub(quota.occupied_space()?);
            Some((owner, left.saturating_add(spot.own)))
        })
        .collect()
}
