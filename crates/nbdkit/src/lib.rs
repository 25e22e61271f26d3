//! A plugin for nbdkit(1): a snapshot set as a network block device, for qemu, nbdcopy, nbd-client
//! and virtual machines.
//!
//! ```console
//! $ nbdkit ./libsnaprestore_nbdkit.so path=/backups/db source-volume=vol-1 generation=5
//! ```
//!
//! The set is chosen and checked before nbdkit forks; every byte is checked when it is read, and
//! what is damaged is an error for that range alone. Where there is nothing, clients are told so.

#[allow(unsafe_code, reason = "what nbdkit calls by its name; the macro of the bindings writes it")]
mod entry;
mod export;
mod parameters;
