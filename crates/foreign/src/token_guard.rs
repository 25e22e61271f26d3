//! A bound on the pieces of a JSON text, so that a parser that reads a stream holds no more.

use std::io::{self, Read};

/// Passes a JSON text on until a text, name or number in it is longer than may be.
pub(crate) struct TokenGuard<R> {
    inner: R,
    max: u32,
    len: u32,
    in_text: bool,
    is_escaped: bool,
}

impl<R: Read> TokenGuard<R> {
    pub(crate) const fn new(inner: R, max: u32) -> Self {
        Self { inner, max, len: 0, in_text: false, is_escaped: false }
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
            if self.len > self.max {
                let error = format!("a text or number of more than {} bytes", self.max);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
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
}
