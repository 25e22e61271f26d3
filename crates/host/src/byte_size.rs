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

impl ByteSize {
    /// A place or length as a user says it: a size, or hexadecimal digits after `0x` as messages and dumps show
    /// them.
    pub fn of_place(text: &str) -> Result<Self, NotASize> {
        match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            // The parser takes a sign.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                u64::from_str_radix(digits, 16).map(Self).map_err(|_| NotASize)
            }
            Some(_) => Err(NotASize),
            None => text.parse(),
        }
    }
}

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
    fn places_in_both_ways() {
        let places =
            ["4096", "0x1000", "0X1f", "64K", "0"].map(|t| ByteSize::of_place(t).unwrap().0);
        assert_eq!(places, [4096, 4096, 31, 65536, 0]);
        for bad in ["0x", "0x+1", "0x1K", "1000h", "0x10000000000000000", "-0x1", "x1"] {
            assert_eq!(ByteSize::of_place(bad), Err(NotASize), "{bad}");
        }
        // Sizes of a layout file are as its format has them.
        assert_eq!("0x1000".parse::<ByteSize>(), Err(NotASize));
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
