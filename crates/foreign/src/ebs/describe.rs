//! Snapshots as describe-snapshots describes them.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use restore::snapfmt::VolumeId;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::names::is_snapshot;
use crate::backup::Name;

/// What EC2 says of a copied snapshot's volume, which is no volume's id (API reference, `Snapshot`).
const NO_VOLUME: &str = "vol-ffffffff";

/// One snapshot, as described.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Described {
    /// Its id.
    #[serde(deserialize_with = "snapshot_id")]
    pub snapshot_id: Name,
    /// The volume it is of; not said of copies.
    #[serde(default, deserialize_with = "volume_id")]
    pub volume_id: Option<VolumeId>,
    /// In GiB.
    #[serde(default)]
    pub volume_size: Option<u64>,
    /// When it was taken.
    #[serde(default, deserialize_with = "time")]
    pub start_time: Option<Timestamp>,
    /// `completed` when all of it is there.
    #[serde(default)]
    pub state: Option<Box<str>>,
    /// What whoever made it had to say.
    #[serde(default)]
    pub description: Option<Box<str>>,
    /// The account it belongs to.
    #[serde(default)]
    pub owner_id: Option<Box<str>>,
    /// Its tags.
    #[serde(default)]
    pub tags: Tags,
}

/// Tags, which stand in the answer as a list of keys and values.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tags(pub BTreeMap<String, String>);

impl Described {
    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.0.get(key).map(String::as_str)
    }
}

fn snapshot_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_snapshot(&text) {
        Ok(Name::from(text.as_str()))
    } else {
        Err(D::Error::custom(format_args!("{text:?} is no snapshot's id")))
    }
}

fn volume_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<VolumeId>, D::Error> {
    let id = Option::<VolumeId>::deserialize(deserializer)?;
    Ok(id.filter(|id| id.as_str() != NO_VOLUME))
}

/// boto3 printed with `default=str` has a space between date and time, the AWS CLI a `T` or, where it
/// is told to, seconds since 1970.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    struct Time;

    impl Visitor<'_> for Time {
        type Value = Option<Timestamp>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a time")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            text.parse().map(Some).map_err(E::custom)
        }

        fn visit_f64<E: Error>(self, seconds: f64) -> Result<Self::Value, E> {
            let since = jiff::SignedDuration::try_from_secs_f64(seconds).map_err(E::custom)?;
            Timestamp::from_duration(since).map(Some).map_err(E::custom)
        }

        fn visit_i64<E: Error>(self, seconds: i64) -> Result<Self::Value, E> {
            Timestamp::from_second(seconds).map(Some).map_err(E::custom)
        }

        fn visit_u64<E: Error>(self, seconds: u64) -> Result<Self::Value, E> {
            self.visit_i64(i64::try_from(seconds).unwrap_or(i64::MAX))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Time)
}

/// Far more than the 50 that EC2 allows.
const MAX_TAGS: usize = 256;

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Tag {
            key: String,
            #[serde(default)]
            value: String,
        }

        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Tags;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of tags")
            }

            fn visit_unit<E>(self) -> Result<Tags, E> {
                Ok(Tags::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tags, A::Error> {
                let mut tags = Tags::default();
                while let Some(Tag { key, value }) = list.next_element()? {
                    if tags.0.len() == MAX_TAGS {
                        return Err(A::Error::custom("more tags than a snapshot can have"));
                    }
                    if tags.0.contains_key(&key) {
                        return Err(A::Error::custom(format_args!("tag {key:?} stands twice")));
                    }
                    tags.0.insert(key, value);
                }
                Ok(tags)
            }
        }

        deserializer.deserialize_any(List)
    }
}

#[cfg(test)]
mod tests {
    use super::Described;

    fn described(rest: &str) -> Result<Described, serde_json::Error> {
        serde_json::from_str(&format!(r#"{{"SnapshotId": "snap-72c89b87fef997e87"{rest}}}"#))
    }

    #[test]
    fn three_shapes_of_time_are_one() {
        let shapes = [
            r#""2026-11-21 05:24:58+00:00""#,
            r#""2026-11-21T05:24:58.000Z""#,
            "1795238698.0",
            "1795238698",
        ];
        for shape in shapes {
            let time = described(&format!(r#", "StartTime": {shape}"#)).unwrap().start_time;
            assert_eq!(time.unwrap().to_string(), "2026-11-21T05:24:58Z", "{shape}");
        }
        assert_eq!(described(r#", "StartTime": null"#).unwrap().start_time, None);
        for bad in ["1e300", "\"yesterday\"", "-1e18", "true"] {
            assert!(described(&format!(r#", "StartTime": {bad}"#)).is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_have_one_value() {
        let tags = |list: &str| described(&format!(r#", "Tags": {list}"#));
        let two = tags(r#"[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}]"#).unwrap();
        assert_eq!((two.tag("a"), two.tag("b"), two.tag("c")), (Some("1"), Some(""), None));
        assert!(tags(r#"[{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "1"}]"#).is_err());
        assert!(tags("null").unwrap().tags.0.is_empty());
        assert!(tags("{}").is_err());
    }

    #[test]
    fn the_volume_of_a_copy_is_not_known() {
        assert_eq!(described(r#", "VolumeId": "vol-ffffffff""#).unwrap().volume_id, None);
        assert!(described(r#", "VolumeId": "vol-1""#).unwrap().volume_id.is_some());
        assert!(described(r#", "VolumeId": "vol-1", "VolumeId": "vol-1""#).is_err());
        assert!(serde_json::from_str::<Described>(r#"{"SnapshotId": "../x"}"#).is_err());
    }
}
