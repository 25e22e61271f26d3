//! Sizes as people write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// A number of bytes: `4096`, `64K`, `64KiB`, `1.5G` is not one. Suffixes are powers of 1024.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct ByteSize(pub u64);

/// Text that is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a size: a whole number of bytes, or one with K, M, G, T or P (powers of 1024)")]
pub struct NotASize;

impl FromStr for ByteSize {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, NotASize> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let shift = match unit {
            "" | "B" => 0,
            "K" | "k" | "KiB" => 10,
            "M" | "MiB" => 20,
            "G" | "GiB" => 30,
            "T" | "TiB" => 40,
            "P" | "PiB" => 50,
            _ => return Err(NotASize),
        };
        let number: u64 = number.parse().map_err(|_| NotASize)?;
        number.checked_mul(1 << shift).map(Self).ok_or(NotASize)
    }
}

/// For people, cut to one decimal: `512 B`, `1.0 TiB`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(60, "EiB"), (50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.iter().find(|(shift, _)| self.0 >> shift != 0) {
            Some((shift, unit)) => {
                // 1024 and four bits more at most: ten times that is a small number.
                let tenths = ((self.0 >> (shift - 4)) * 10) >> 4;
                write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
            }
            None => write!(f, "{} B", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(u64),
            Text(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Number(bytes) => Ok(Self(bytes)),
            Raw::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ByteSize, NotASize};

    #[test]
    fn suffixes_are_powers_of_1024() {
        let sizes =
            ["0", "512", "64K", "64KiB", "16M", "1T"].map(|t| t.parse::<ByteSize>().unwrap().0);
        assert_eq!(sizes, [0, 512, 65536, 65536, 16 << 20, 1 << 40]);
        for bad in ["", "K", "64KB", "1.5G", "-1", "99999999999P", "64 K"] {
            assert_eq!(bad.parse::<ByteSize>(), Err(NotASize), "{bad}");
        }
    }

    #[test]
    fn sizes_for_people() {
        let texts = [0, 1023, 1024, 1536, (1 << 40) - 1, 1 << 40, u64::MAX]
            .map(|bytes| ByteSize(bytes).to_string());
        assert_eq!(
            texts,
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1023.9 GiB", "1.0 TiB", "15.9 EiB"]
        );
    }
}
