//! Errors of the system itself.

use std::io;

use rustix::io::Errno;

/// Whether an error is the system's, and not that of one file: the file may be sound all the same.
pub fn is_of_machine(error: &io::Error) -> bool {
    let Some(code) = error.raw_os_error() else { return false };
    let of_the_file = [
        Errno::NOENT,
        Errno::ACCESS,
        Errno::PERM,
        Errno::LOOP,
        Errno::NAMETOOLONG,
        Errno::NOTDIR,
        Errno::ISDIR,
        Errno::INVAL,
        Errno::NXIO,
    ];
    !of_the_file.iter().any(|errno| errno.raw_os_error() == code)
}
