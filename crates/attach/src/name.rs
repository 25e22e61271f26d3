//! What an attached volume is called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an attached volume is called: the name of its directory, of its file and in commands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Text that cannot be the name of an attached volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has 1 to 64 letters, digits, dots, dashes and underscores, and begins with neither dot nor dash"
)]
pub struct NotAName;

impl Name {
    /// So long that the path of a socket below `/run` has room (`unix(7)`: 108 bytes).
    const LONGEST: usize = 64;

    /// The name that comes closest to some id.
    pub fn of_id(id: &str) -> Self {
        let fit = |c: char| if is_plain(c) { c } else { '-' };
        let text: String = id.chars().map(fit).take(Self::LONGEST).collect();
        let text = text.trim_start_matches(['.', '-']);
        Self(if text.is_empty() { "volume".to_owned() } else { text.to_owned() })
    }

    /// As it is.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let good = (1..=Self::LONGEST).contains(&text.len())
            && text.chars().all(is_plain)
            && !text.starts_with(['.', '-']);
        if good { Ok(Self(text.to_owned())) } else { Err(NotAName) }
    }
}

impl TryFrom<String> for Name {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
