//! What the black-box tests share: running the built binary and stock tools, making images, spreading
//! them over members, and checking what came out. Nothing here uses a snaprestore crate, so that a
//! mistake in the product cannot hide behind the same mistake in its tests.
#![allow(dead_code, reason = "every test target uses its own part of this")]

pub(crate) mod attachment;
pub(crate) mod blake3;
pub(crate) mod disk;
pub(crate) mod failure;
pub(crate) mod feed;
pub(crate) mod frames;
pub(crate) mod hash;
pub(crate) mod held;
pub(crate) mod image;
pub(crate) mod journal;
pub(crate) mod layout;
pub(crate) mod loopmount;
pub(crate) mod mapfile;
pub(crate) mod needs;
pub(crate) mod noise;
pub(crate) mod run;
pub(crate) mod sample;
pub(crate) mod scratch;
pub(crate) mod split;
pub(crate) mod stacks;
pub(crate) mod stage;
pub(crate) mod tool;
pub(crate) mod tree;
pub(crate) mod unfinished;

/// What a step of a test gives back; any error that can be shown turns into a failed test by `?`.
pub(crate) type Outcome<T = ()> = Result<T, libtest_mimic::Failed>;

/// Fails the test with a message unless the condition holds, without a panic, so that guards are
/// dropped in order and the message stands alone.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+).into());
        }
    };
}
pub(crate) use ensure;
