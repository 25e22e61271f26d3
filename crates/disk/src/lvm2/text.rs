//! The text that metadata is written in: nested sections of `key = value` (`lvm.conf(5)` describes
//! the same language).

use std::collections::BTreeMap;

/// Deepest nesting of sections and lists; real texts have five levels.
const MAX_DEPTH: usize = 16;
/// Most keys, sections and list entries in one text.
const MAX_VALUES: usize = 1 << 20;

/// A value of a key.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// A number with a fraction, which no key that is used here has.
    Float,
    /// A quoted text.
    Text(String),
    /// Values in brackets.
    List(Vec<Value>),
    /// Keys in braces.
    Section(Section),
}

/// The keys of a section.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Section {
    entries: BTreeMap<String, Value>,
}

/// What is wrong with a text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TextFault {
    /// It does not follow the grammar.
    #[error("line {line}: expected {expected}")]
    Syntax {
        /// Which line.
        line: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// It has more than is believed of a text.
    #[error("line {line}: more than {max} {what}")]
    TooMuch {
        /// Which line.
        line: usize,
        /// Of what.
        what: &'static str,
        /// How much is possible.
        max: usize,
    },
    /// A key is there twice.
    #[error("line {line}: {key:?} a second time")]
    Twice {
        /// Which line.
        line: usize,
        /// The key.
        key: String,
    },
    /// A key is missing, or has a value of another kind.
    #[error("{section:?} has no {key:?} that can be used")]
    Key {
        /// In which section.
        section: String,
        /// Which key.
        key: &'static str,
    },
    /// What a section says does not fit together.
    #[error("{section:?}: {reason}")]
    Unfit {
        /// Which section.
        section: String,
        /// What does not fit.
        reason: &'static str,
    },
    /// A segment is on something that the text does not have.
    #[error("{section:?} is on {name:?}, which is not there")]
    NoSuch {
        /// Which logical volume.
        section: String,
        /// What it names.
        name: String,
    },
}

impl Section {
    /// Parses a whole text.
    pub fn parse(text: &[u8]) -> Result<Self, TextFault> {
        let mut parser = Parser { rest: text, line: 1, values: 0 };
        let section = parser.section(0)?;
        parser.blank();
        if parser.rest.is_empty() { Ok(section) } else { Err(parser.expected("a key")) }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    /// A number that is not negative.
    pub fn int(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            Value::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A list.
    pub fn list(&self, key: &str) -> Option<&[Value]> {
        match self.get(key)? {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// A section in it.
    pub fn section(&self, key: &str) -> Option<&Self> {
        match self.get(key)? {
            Value::Section(section) => Some(section),
            _ => None,
        }
    }

    /// All sections in it, by name.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.entries.iter().filter_map(|(name, value)| match value {
            Value::Section(section) => Some((name.as_str(), section)),
            _ => None,
        })
    }

    /// Whether a list of texts has this one.
    pub fn has_flag(&self, key: &str, flag: &str) -> bool {
        let is = |value: &Value| matches!(value, Value::Text(text) if text == flag);
        match self.get(key) {
            Some(Value::List(list)) => list.iter().any(is),
            Some(value) => is(value),
            None => false,
        }
    }
}

struct Parser<'t> {
    rest: &'t [u8],
    line: usize,
    values: usize,
}

impl Parser<'_> {
    fn expected(&self, expected: &'static str) -> TextFault {
        TextFault::Syntax { line: self.line, expected }
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        self.line += usize::from(*first == b'\n');
        Some(*first)
    }

    /// Takes `byte` if it is next, blanks before it left out.
    fn take(&mut self, byte: u8) -> bool {
        self.blank();
        let is = self.peek() == Some(byte);
        if is {
            self.next();
        }
        is
    }

    /// Passes over blanks and comments.
    fn blank(&mut self) {
        let mut comment = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => comment = false,
                b'#' => comment = true,
                _ if comment || byte.is_ascii_whitespace() => {}
                _ => return,
            }
            self.next();
        }
    }

    fn count(&mut self, depth: usize) -> Result<(), TextFault> {
        let line = self.line;
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(TextFault::TooMuch { line, what: "values", max: MAX_VALUES });
        }
        if depth > MAX_DEPTH {
            return Err(TextFault::TooMuch { line, what: "levels", max: MAX_DEPTH });
        }
        Ok(())
    }

    /// Keys up to a closing brace, or to the end of the text.
    fn section(&mut self, depth: usize) -> Result<Section, TextFault> {
        let mut section = Section::default();
        loop {
            self.blank();
            if matches!(self.peek(), None | Some(b'}')) {
                return Ok(section);
            }
            self.count(depth)?;
            let line = self.line;
            let key = self.key()?;
            let value = if self.take(b'{') {
                let inner = self.section(depth + 1)?;
                if !self.take(b'}') {
                    return Err(self.expected("a closing brace"));
                }
                Value::Section(inner)
            } else if self.take(b'=') {
                self.value(depth)?
            } else {
                return Err(self.expected("= or an opening brace"));
            };
            if section.entries.insert(key.clone(), value).is_some() {
                return Err(TextFault::Twice { line, key });
            }
        }
    }

    fn key(&mut self) -> Result<String, TextFault> {
        let part = |b: &u8| b.is_ascii_alphanumeric() || b"_-+./@".contains(b);
        let len = self.rest.iter().take_while(|b| part(b)).count();
        let (key, rest) = self.rest.split_at(len);
        if key.is_empty() {
            return Err(self.expected("a key"));
        }
        self.rest = rest;
        Ok(String::from_utf8_lossy(key).into_owned())
    }

    fn value(&mut self, depth: usize) -> Result<Value, TextFault> {
        self.count(depth)?;
        self.blank();
        match self.peek() {
            Some(b'"') => self.quoted().map(Value::Text),
            Some(b'[') => self.list(depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.expected("a number, a text or a list")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, TextFault> {
        let mut list = Vec::new();
        self.take(b'[');
        while !self.take(b']') {
            list.push(self.value(depth)?);
            if !self.take(b',') {
                if self.take(b']') {
                    break;
                }
                return Err(self.expected("a comma or a closing bracket"));
            }
        }
        Ok(Value::List(list))
    }

    /// A text in quotation marks, in which a backslash stands before `"` and `\`.
    fn quoted(&mut self) -> Result<String, TextFault> {
        let mut bytes = Vec::new();
        self.next();
        loop {
            match self.next() {
                Some(b'"') => break,
                Some(b'\\') => bytes.extend(self.next()),
                Some(byte) => bytes.push(byte),
                None => return Err(self.expected("a closing quotation mark")),
            }
        }
        String::from_utf8(bytes).map_err(|_| self.expected("text in UTF-8"))
    }

    fn number(&mut self) -> Result<Value, TextFault> {
        let part = |b: &u8| b.is_ascii_digit() || matches!(b, b'-' | b'.');
        let len = self.rest.iter().take_while(|b| part(b)).count();
        let (digits, rest) = self.rest.split_at(len);
        let text = std::str::from_utf8(digits).unwrap_or_default();
        let value = if digits.contains(&b'.') {
            Value::Float
        } else {
            Value::Int(text.parse().map_err(|_| self.expected("a number of 64 bits"))?)
        };
        self.rest = rest;
        Ok(value)
    }
}
