//! What an overlay holds in memory does not depend on how much was written to it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[path = "../../testing/counting.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod counting;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use attach::overlay::{Medium, Overlay};
use counting::{alone, measure};
use restore::image::{Image, ImageError, Run, WritableImage};

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

/// Nothing, and much of it.
struct Void;

impl Image for Void {
    fn size(&self) -> u64 {
        16 * TIB
    }

    fn read_at(&self, _: u64, out: &mut [u8]) -> Result<(), ImageError> {
        out.fill(0);
        Ok(())
    }

    fn run_at(&self, _: u64) -> Result<Run, ImageError> {
        Ok(Run { end: self.size(), is_data: false })
    }
}

/// A file that is not made durable: tens of thousands of scattered blocks take a disk a minute.
struct Unsynced(File);

impl Medium for Unsynced {
    fn len(&self) -> io::Result<u64> {
        Medium::len(&self.0)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn give_back(&self, range: Range<u64>) {
        self.0.give_back(range);
    }

    fn next_data(&self, offset: u64, end: u64) -> io::Result<u64> {
        self.0.next_data(offset, end)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_overlay_holds_a_part_of_its_map() {
    alone(|| {
        let (medium, path) = (Unsynced(tempfile::tempfile().unwrap()), Path::new("unsynced"));
        Overlay::format(&medium, path, "c", Void.size()).unwrap();
        let overlay = Overlay::on(Arc::new(medium), path, "c", Arc::new(Void)).unwrap();
        let place = |n: u64| n * 90 * MIB + 4096 * (n % 100);
        let ((), asked) = measure(|| {
            for n in 0..16_000 {
                overlay.write_at(place(n), &n.to_le_bytes()).unwrap();
            }
            for n in 0..16_000_u64 {
                let mut word = [0; 8];
                overlay.read_at(place(n), &mut word).unwrap();
                assert_eq!(word, n.to_le_bytes());
            }
        });
        assert!(asked.most < 12 << 20, "{asked:?}");
    });
}
