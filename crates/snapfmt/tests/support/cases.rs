//! How often a property is tried.

use proptest::test_runner::Config;

/// `few` cases, and many times that in the long run. A failure prints its input; nothing is kept.
pub(crate) fn cases(few: u32) -> Config {
    let long = std::env::var_os("SNAPRESTORE_TEST_LONG").is_some();
    let cases = if long { few * 16 } else { few };
    Config { cases, failure_persistence: None, ..Config::default() }
}
