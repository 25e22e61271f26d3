//! The subcommands: each turns its arguments into one library call and prints the report.

pub(crate) mod attach;
pub(crate) mod attached;
pub(crate) mod capture;
pub(crate) mod detach;
pub(crate) mod guess_layout;
pub(crate) mod inspect;
pub(crate) mod list;

pub(crate) mod read;
pub(crate) mod rebuild;
pub(crate) mod restore;
pub(crate) mod verify;
