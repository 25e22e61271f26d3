//! What is said of one set, row by row.

use std::fmt::{Display, Write};

use super::SetView;
use crate::output::{line, name};

/// A text of rows, each with what it is about in front.
pub(crate) struct Rows(String);

impl Rows {
    /// Begins with what tells the set from others.
    pub(crate) fn of(set: &SetView) -> Self {
        let mut rows = Self(String::new());
        rows.add("set", name(set.set_id.as_str()));
        rows.add("source volume", name(set.source_volume_id.as_str()));
        rows.add("generation", set.generation);
        if let Some(id) = &set.generation_id {
            rows.add("generation id", name(id));
        }
        rows.add("time", set.time.map_or_else(|| "not known".into(), |time| time.to_string()));
        rows
    }

    /// Adds a row.
    pub(crate) fn add(&mut self, key: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{key:<15} {value}");
    }

    /// Adds whether the set can be used, and its tags.
    pub(crate) fn add_state(&mut self, set: &SetView) {
        self.add("state", set.state);
        for problem in &set.problems {
            self.add("problem", line(problem));
        }
        for warning in &set.warnings {
            self.add("warning", line(warning));
        }
        for (key, value) in &set.tags {
            self.add("tag", format!("{}={}", name(key), name(value)));
        }
    }

    /// Adds lines of their own.
    pub(crate) fn add_lines(&mut self, lines: Vec<String>) {
        for line in lines {
            let _ = writeln!(self.0, "{line}");
        }
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}
