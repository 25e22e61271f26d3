//! What a dump of EBS snapshots can look like besides how it should: read, or named with an exit code that
//! says so. A dump never disappears.

mod support;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use serde_json::{Value, json};

use support::needs::trial;
use support::noise::noise;
use support::run::Call;
use support::scratch::{Scratch, read, write};
use support::{Outcome, ensure};

const SNAPSHOT: &str = "snap-0123456789abcdef0";
const BLOCK: usize = 512 << 10;

fn main() -> ExitCode {
    let trials = vec![trial("a_list_that_is_cut_off_is_4_and_named", &[], cut_list)];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A directory for a dump.
struct Dump {
    scratch: Scratch,
}

impl Dump {
    fn new() -> Outcome<Self> {
        let scratch = Scratch::new()?;
        scratch.dir("dump")?;
        Ok(Self { scratch })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Outcome {
        let path = self.scratch.path("dump").join(name);
        if let Some(directory) = path.parent() {
            support::scratch::make_dir(directory)?;
        }
        write(&path, bytes)
    }

    fn json(&self, name: &str, value: &Value) -> Outcome {
        self.write(name, value.to_string().as_bytes())
    }

    fn call(&self, command: &str) -> Call {
        Call::new(command).arg(self.scratch.path("dump"))
    }

    fn restore(&self) -> Call {
        self.call("restore").option("-o", self.scratch.path("target"))
    }
}

/// A list of the first blocks of a volume of 1 GiB.
fn list(blocks: u32) -> Value {
    let entry = |block| json!({"BlockIndex": block, "BlockToken": "AAAB"});
    json!({"Blocks": (0..blocks).map(entry).collect::<Vec<_>>(), "ExpiryTime": 1_795_843_491.246,
           "VolumeSize": 1, "BlockSize": BLOCK})
}

fn cut_list() -> Outcome {
    let dump = Dump::new()?;
    let (name, block) = (format!("list-snapshot-blocks.{SNAPSHOT}.json"), noise(1, BLOCK));
    dump.write("0.bin", &block)?;
    dump.json(&name, &list(1))?;
    dump.restore().succeeds()?;
    ensure!(read(&dump.scratch.path("target"))?[..BLOCK] == block, "the block is another");
    let text = list(1).to_string();
    dump.write(&name, &text.as_bytes()[..text.len() - 10])?;
    let listed = dump.call("list").json_exits(4)?;
    ensure!(listed["unreadable"].to_string().contains(&name), "{listed}");
    let ran = dump.restore().arg("--force").exits(4)?;
    ensure!(ran.stderr.contains(&name), "{}", ran.describe());
    Ok(())
}
