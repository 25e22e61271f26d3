//! Snapshots as describe-snapshots describes them.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use restore::snapfmt::VolumeId;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::names::{is_garbled, is_snapshot};
use crate::backup::Name;

/// What EC2 says of a copied snapshot's volume, which is no volume's id (API reference, `Snapshot`).
const NO_VOLUME: &str = "vol-ffffffff";

/// The keys of a description that matter.
const KEYS: [&str; 8] = [
    "SnapshotId",
    "VolumeId",
    "VolumeSize",
    "StartTime",
    "State",
    "Description",
    "OwnerId",
    "Tags",
];

/// One snapshot, as described.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Described {
    /// Its id.
    pub snapshot_id: Name,
    /// The volume it is of; not said of copies.
    pub volume_id: Option<VolumeId>,
    /// In GiB.
    pub volume_size: Option<u64>,
    /// When it was taken.
    pub start_time: Option<Timestamp>,
    /// `completed` when all of it is there.
    pub state: Option<Box<str>>,
    /// What whoever made it had to say.
    pub description: Option<Box<str>>,
    /// The account it belongs to.
    pub owner_id: Option<Box<str>>,
    /// Its tags.
    pub tags: Tags,
}

/// Tags, which stand in the answer as a list of keys and values.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tags(pub BTreeMap<String, String>);

/// Far more than the 50 that EC2 allows.
const MAX_TAGS: usize = 256;

/// An entry of describe-snapshots: one that is wrong does not keep the others from being used.
pub(super) struct Entry(pub Result<Described, String>);

impl Described {
    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.0.get(key).map(String::as_str)
    }

    fn of(mut fields: BTreeMap<&'static str, Loose>) -> Result<Self, String> {
        let mut text = |key: &'static str| match fields.remove(key).unwrap_or_default() {
            Loose::Text(text) => Ok(Some(text)),
            Loose::Nothing => Ok(None),
            _ => Err(format!("{key} is no text")),
        };
        let id = text("SnapshotId")?.ok_or("there is no SnapshotId")?;
        if !is_snapshot(&id) {
            return Err(format!("{id:?} is no snapshot's id"));
        }
        let volume = text("VolumeId")?.map(|id| id.parse::<VolumeId>()).transpose();
        let volume_id = volume.map_err(|e| e.to_string())?.filter(|id| id.as_str() != NO_VOLUME);
        let [state, description, owner_id] =
            [text("State")?, text("Description")?, text("OwnerId")?];
        let volume_size = match fields.remove("VolumeSize").unwrap_or_default() {
            Loose::Natural(size) => Some(size),
            Loose::Nothing => None,
            _ => return Err("VolumeSize is no number of GiB".to_owned()),
        };
        let tags = match fields.remove("Tags").unwrap_or_default() {
            Loose::List(tags) => tags?,
            Loose::Nothing => Tags::default(),
            _ => return Err("Tags are no list".to_owned()),
        };
        Ok(Self {
            snapshot_id: Name::from(id.as_str()),
            volume_id,
            volume_size,
            start_time: time(fields.remove("StartTime").unwrap_or_default())?,
            state: state.map(String::into_boxed_str),
            description: description.map(String::into_boxed_str),
            owner_id: owner_id.map(String::into_boxed_str),
            tags,
        })
    }
}

/// boto3 printed with `default=str` has a space between date and time, the AWS CLI a `T` or, where it
/// is told to, seconds since 1970.
fn time(found: Loose) -> Result<Option<Timestamp>, String> {
    let time = match found {
        Loose::Nothing => return Ok(None),
        Loose::Text(text) => text.parse(),
        Loose::Natural(seconds) => {
            Timestamp::from_second(i64::try_from(seconds).unwrap_or(i64::MAX))
        }
        Loose::Real(seconds) => {
            jiff::SignedDuration::try_from_secs_f64(seconds).and_then(Timestamp::from_duration)
        }
        Loose::List(_) | Loose::Other => return Err("StartTime is no time".to_owned()),
    };
    time.map(Some).map_err(|e| format!("StartTime: {e}"))
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the description of a snapshot")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
                let (mut fields, mut fault) = (BTreeMap::new(), None);
                while let Some(key) = map.next_key::<String>()? {
                    let Some(known) = KEYS.into_iter().find(|known| *known == key) else {
                        // EC2 has more keys than matter here, and new ones each year.
                        if is_garbled(&key, &KEYS) {
                            fault.get_or_insert(format!("unknown key {key:?}"));
                        }
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    if fields.insert(known, map.next_value::<Loose>()?).is_some() {
                        fault.get_or_insert(format!("key {key:?} stands twice"));
                    }
                }
                Ok(Entry(fault.map_or_else(|| Described::of(fields), Err)))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// A value that may be of any kind: only a text that is no JSON ends the reading of it.
#[derive(Default)]
enum Loose {
    #[default]
    Nothing,
    Text(String),
    Natural(u64),
    Real(f64),
    List(Result<Tags, String>),
    Other,
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Loose, E> {
        Ok(Loose::Nothing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Loose, E> {
        Ok(Loose::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
        Ok(Loose::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Loose, E> {
        Ok(Loose::Natural(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Loose, E> {
        // Exact for every time there can be.
        #[expect(clippy::cast_precision_loss, reason = "it is a number of seconds")]
        Ok(Loose::Real(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Loose, E> {
        Ok(Loose::Real(number))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Loose, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Loose::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Loose, A::Error> {
        let mut tags = Ok(Tags::default());
        while let Some(Tag(tag)) = list.next_element()? {
            tags = tags.and_then(|mut tags: Tags| {
                let (key, value) = tag?;
                if tags.0.len() == MAX_TAGS {
                    return Err("more tags than a snapshot can have".to_owned());
                }
                if tags.0.contains_key(&key) {
                    return Err(format!("tag {key:?} stands twice"));
                }
                tags.0.insert(key, value);
                Ok(tags)
            });
        }
        Ok(Loose::List(tags))
    }
}

/// The key and value of a tag.
struct Tag(Result<(String, String), String>);

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OfTag)
    }
}

struct OfTag;

impl<'de> Visitor<'de> for OfTag {
    type Value = Tag;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tag")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tag, A::Error> {
        let (mut key, mut value, mut fault) = (None, None, None);
        while let Some(name) = map.next_key::<String>()? {
            let field = match name.as_str() {
                "Key" => &mut key,
                "Value" => &mut value,
                _ => {
                    fault.get_or_insert(format!("unknown key {name:?} in a tag"));
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            match map.next_value::<Loose>()? {
                Loose::Text(text) if field.is_none() => *field = Some(text),
                _ => drop(fault.get_or_insert(format!("{name} of a tag is no text, or twice"))),
            }
        }
        let missing = || "a tag without a key".to_owned();
        let pair = key.ok_or_else(missing).map(|key| (key, value.unwrap_or_default()));
        Ok(Tag(fault.map_or(pair, Err)))
    }

    fn visit_str<E>(self, _: &str) -> Result<Tag, E> {
        Ok(Tag(Err("a text where a tag should be".to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::{Described, Entry};

    fn entry(text: &str) -> Result<Described, String> {
        serde_json::from_str::<Entry>(text).unwrap().0
    }

    fn described(rest: &str) -> Result<Described, String> {
        entry(&format!(r#"{{"SnapshotId": "snap-72c89b87fef997e87"{rest}}}"#))
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
    fn a_damaged_key_is_no_new_one() {
        assert!(described(r#", "FullSnapshotSizeInBytes": 1, "SseType": "none""#).is_ok());
        for key in ["Statd", "Tagr", "VolumeSizd", "StartTimd"] {
            assert!(described(&format!(r#", "{key}": null"#)).is_err(), "{key}");
        }
        assert!(described(r#", "Tags": [{"Key": "a", "Valud": "1"}]"#).is_err());
    }

    #[test]
    fn the_volume_of_a_copy_is_not_known() {
        assert_eq!(described(r#", "VolumeId": "vol-ffffffff""#).unwrap().volume_id, None);
        assert!(described(r#", "VolumeId": "vol-1""#).unwrap().volume_id.is_some());
        assert!(described(r#", "VolumeId": "vol-1", "VolumeId": "vol-1""#).is_err());
        assert!(entry(r#"{"SnapshotId": "../x"}"#).is_err());
        assert!(entry("{}").is_err());
    }
}
