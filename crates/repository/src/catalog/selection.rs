//! What a user says of the set that is meant.

use std::str::FromStr;

use jiff::Timestamp;
use restore::set::SetKey;
use snapfmt::VolumeId;

/// A point in time, as a user gives it: RFC 3339, or a date, which is its first instant in UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instant(pub Timestamp);

impl FromStr for Instant {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        let date = || text.parse::<jiff::civil::Date>();
        let at_midnight = || date()?.to_zoned(jiff::tz::TimeZone::UTC).map(|z| z.timestamp());
        text.parse().or_else(|e| at_midnight().map_err(|_: jiff::Error| e)).map(Self)
    }
}

/// A generation, as a user gives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Generation {
    /// Its number.
    Number(u64),
    /// Its id, as its tag has it.
    Id(String),
}

/// Text that is no generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a number, or a generation's id of letters, digits and dashes, is expected")]
pub struct NotAGeneration;

impl FromStr for Generation {
    type Err = NotAGeneration;

    fn from_str(text: &str) -> Result<Self, NotAGeneration> {
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        let id = text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.contains(|c: char| c.is_ascii_digit())
            && text.contains(|c: char| !c.is_ascii_digit() && c != '.')
            && text.chars().all(plain);
        if id { Ok(Self::Id(text.to_owned())) } else { Err(NotAGeneration) }
    }
}

/// What a user says of the set that is meant. Empty: the newest.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// How its id begins.
    pub set_id: Option<String>,
    /// Its logical volume.
    pub source_volume: Option<VolumeId>,
    /// Its generation.
    pub generation: Option<Generation>,
    /// The newest set not after this.
    pub at: Option<Timestamp>,
    /// How its content id begins or, of 64 digits, what it is. What such a set inherits is proved when it is
    /// selected.
    pub content_id: Option<String>,
    /// Which sets an older one may be taken for.
    pub latest: Latest,
}

/// Which of the sets that fit is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Latest {
    /// The newest, whatever its state.
    #[default]
    Any,
    /// The newest that has all its members and ancestors, by all that opening them tells.
    Complete,
    /// The newest of which every byte was read and found sound.
    Sound,
}

impl Selection {
    /// Whether a set may be the one that is meant, by all that it says of itself.
    pub fn fits(&self, set: &SetKey<'_>) -> bool {
        let prefix = |prefix: &String| set.id.as_str().starts_with(prefix.as_str());
        let generation = |generation: &Generation| match generation {
            Generation::Number(number) => *number == set.generation,
            Generation::Id(id) => set.generation_id == Some(id.as_str()),
        };
        self.set_id.as_ref().is_none_or(prefix)
            && self.source_volume.as_ref().is_none_or(|v| v == set.source_volume_id)
            && self.generation.as_ref().is_none_or(generation)
            && self.at.is_none_or(|at| set.time.is_some_and(|time| time <= at))
    }

    /// Whether one set is named, rather than the newest asked for.
    pub const fn is_named(&self) -> bool {
        self.set_id.is_some() || self.generation.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::Generation;

    #[test]
    fn a_generation_is_a_number_or_an_id() {
        let id = "00000000-0000-0000-0000-000011110001";
        assert_eq!("7".parse(), Ok(Generation::Number(7)));
        assert_eq!(id.parse(), Ok(Generation::Id(id.to_owned())));
        for bad in ["", "last", "-1", "1.5", "g 1", "99999999999999999999"] {
            assert!(bad.parse::<Generation>().is_err(), "{bad}");
        }
    }
}
