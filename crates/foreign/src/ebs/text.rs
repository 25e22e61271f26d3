//! The text of a document, whatever it is encoded as: UTF-8 with or without a mark, or UTF-16, which
//! Windows PowerShell writes.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;

/// How many bytes of a file are looked at to see what it is.
const HEAD: usize = 64;

/// Starts of files that hold something compressed.
const PACKED: [(&[u8], &str); 5] = [
    (b"\x1f\x8b", "compressed by gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (b"\xfd7zXZ", "compressed by xz"),
    (b"BZh", "compressed by bzip2"),
    (b"PK\x03\x04", "a zip archive"),
];

/// How the text of a file is encoded, and how many bytes of it say so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Encoding {
    Utf8 { mark: u64 },
    Utf16 { is_little: bool, mark: u64 },
}

/// What a file begins like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    /// A list or an object of JSON.
    Json,
    /// Something compressed.
    Packed(&'static str),
    /// Nothing that is known.
    Other,
}

fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD];
    let len = file.read_at(&mut head, 0)?;
    head.truncate(len);
    Ok(head)
}

impl Encoding {
    fn of(head: &[u8]) -> Self {
        match head {
            [0xef, 0xbb, 0xbf, ..] => Self::Utf8 { mark: 3 },
            [0xff, 0xfe, ..] => Self::Utf16 { is_little: true, mark: 2 },
            [0xfe, 0xff, ..] => Self::Utf16 { is_little: false, mark: 2 },
            [b'{' | b'[', 0, ..] => Self::Utf16 { is_little: true, mark: 0 },
            [0, b'{' | b'[', ..] => Self::Utf16 { is_little: false, mark: 0 },
            _ => Self::Utf8 { mark: 0 },
        }
    }
}

/// What a file begins like.
pub(super) fn start(file: &File) -> io::Result<Start> {
    let head = head(file)?;
    if let Some((_, how)) = PACKED.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Ok(Start::Packed(how));
    }
    let mark = match Encoding::of(&head) {
        Encoding::Utf8 { mark } | Encoding::Utf16 { mark, .. } => {
            usize::try_from(mark).unwrap_or(0)
        }
    };
    let text = head.get(mark..).unwrap_or_default().iter();
    let first = text.copied().find(|byte| *byte != 0 && !byte.is_ascii_whitespace());
    Ok(if matches!(first, Some(b'{' | b'[')) { Start::Json } else { Start::Other })
}

/// The text of a file as UTF-8, without a mark.
pub(super) fn text(mut file: File) -> io::Result<Box<dyn Read>> {
    let encoding = Encoding::of(&head(&file)?);
    let (Encoding::Utf8 { mark } | Encoding::Utf16 { mark, .. }) = encoding;
    io::Seek::seek(&mut file, io::SeekFrom::Start(mark))?;
    Ok(match encoding {
        Encoding::Utf8 { .. } => Box::new(file),
        Encoding::Utf16 { is_little, .. } => Box::new(Utf16::new(file, is_little)),
    })
}

/// UTF-16 as UTF-8.
struct Utf16<R> {
    inner: BufReader<R>,
    is_little: bool,
    /// What was decoded and not yet given.
    ready: Vec<u8>,
    at: usize,
}

impl<R: Read> Utf16<R> {
    fn new(inner: R, is_little: bool) -> Self {
        Self { inner: BufReader::new(inner), is_little, ready: Vec::new(), at: 0 }
    }

    fn unit(&mut self) -> io::Result<Option<u16>> {
        let mut bytes = [0; 2];
        if self.inner.read(&mut bytes[..1])? == 0 {
            return Ok(None);
        }
        self.inner.read_exact(&mut bytes[1..])?;
        Ok(Some(if self.is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }))
    }

    fn character(&mut self) -> io::Result<Option<char>> {
        let Some(first) = self.unit()? else { return Ok(None) };
        let second = if (0xd800..0xdc00).contains(&first) { self.unit()? } else { None };
        let mut all = char::decode_utf16([Some(first), second].into_iter().flatten());
        match all.next() {
            Some(Ok(character)) => Ok(Some(character)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "half of a character of UTF-16")),
        }
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        const AT_ONCE: usize = 4096;
        if self.at == self.ready.len() {
            self.ready.clear();
            self.at = 0;
            while self.ready.len() < AT_ONCE
                && let Some(character) = self.character()?
            {
                self.ready.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        let count = self.ready.get(self.at..).unwrap_or_default().read(buf)?;
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::{Start, start, text};
    use std::fs::File;
    use std::io::{Read, Write};

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn read(bytes: &[u8]) -> std::io::Result<String> {
        let mut out = String::new();
        text(file(bytes))?.read_to_string(&mut out).map(|_| out)
    }

    #[test]
    fn all_encodings_are_one_text() {
        let json = "{\"a\": \"ü€😀\"}\r\n".repeat(900);
        let units = |order: fn(u16) -> [u8; 2]| json.encode_utf16().flat_map(order).collect();
        let (little, big): (Vec<u8>, Vec<u8>) = (units(u16::to_le_bytes), units(u16::to_be_bytes));
        let with = |mark: &[u8], text: &[u8]| [mark, text].concat();
        for bytes in [
            json.clone().into_bytes(),
            with(b"\xef\xbb\xbf", json.as_bytes()),
            with(b"\xff\xfe", &little),
            with(b"\xfe\xff", &big),
            little,
            big,
        ] {
            assert_eq!(read(&bytes).unwrap(), json);
            assert_eq!(start(&file(&bytes)).unwrap(), Start::Json);
        }
        assert!(read(b"\xff\xfe{\0}").is_err(), "half a unit");
        assert!(read(b"\xff\xfe{\0\x3d\xd8}\0").is_err(), "half a character");
        assert_eq!(start(&file(b"\x1f\x8b\x08")).unwrap(), Start::Packed("compressed by gzip"));
        assert_eq!(start(&file(b"# notes")).unwrap(), Start::Other);
    }
}
