//! Bounds on the pieces of a JSON text and on how deep they lie in each other, so that a parser that
//! reads a stream holds no more. `serde_json` bounds the depth of what it gives to someone, but of what
//! is skipped it keeps a byte for each bracket that is open.

use std::io::{self, Read};

/// How deep `serde_json` goes into what it gives to someone.
const MAX_DEPTH: u32 = 128;

/// Passes a JSON text on until a text, name or number in it is longer than may be, or lists and objects
/// lie too deep in each other.
pub(crate) struct TokenGuard<R> {
    inner: R,
    max: u32,
    len: u32,
    depth: u32,
    in_text: bool,
    is_escaped: bool,
}

impl<R: Read> TokenGuard<R> {
    pub(crate) const fn new(inner: R, max: u32) -> Self {
        Self { inner, max, len: 0, depth: 0, in_text: false, is_escaped: false }
    }

    fn see(&mut self, byte: u8) {
        let ends = if self.in_text {
            byte == b'"' && !self.is_escaped
        } else {
            matches!(
                byte,
                b'"' | b'{' | b'}' | b'[' | b']' | b':' | b',' | b' ' | b'\n' | b'\r' | b'\t'
            )
        };
        if !self.in_text {
            match byte {
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        if ends {
            self.len = 0;
            self.in_text = byte == b'"' && !self.in_text;
        } else {
            self.len = self.len.saturating_add(1);
        }
        self.is_escaped = self.in_text && byte == b'\\' && !self.is_escaped;
    }
}

impl<R: Read> Read for TokenGuard<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buf)?;
        for byte in buf.iter().take(count) {
            self.see(*byte);
            let error = if self.len > self.max {
                format!("a text or number of more than {} bytes", self.max)
            } else if self.depth > MAX_DEPTH {
                format!("more than {MAX_DEPTH} lists and objects in each other")
            } else {
                continue;
            };
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::TokenGuard;
    use std::io::Read;

    fn passes(text: &str) -> bool {
        TokenGuard::new(text.as_bytes(), 8).read_to_string(&mut String::new()).is_ok()
    }

    #[test]
    fn only_long_tokens_are_stopped() {
        assert!(passes(r#"{"12345678": [12345678, "a\"b\\", {}], "x" : 1}"#));
        assert!(passes("                    "));
        assert!(!passes("123456789"));
        assert!(!passes(r#""123456789""#));
        assert!(!passes(r#""[{:, :[{,""#));
        assert!(!passes(r#""\"\"\"\"\"""#));
        assert!(passes(r#""a\\", "b\\", "c\\""#));
    }

    #[test]
    fn brackets_are_counted_outside_of_texts() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let text = |depth: usize| open.repeat(depth) + &close.repeat(depth);
            assert!(passes(&text(128)));
            assert!(!passes(&text(129)));
            assert!(passes(&text(1).repeat(200)));
        }
        assert!(passes(&r#""[{[{", "#.repeat(100)));
    }
}
