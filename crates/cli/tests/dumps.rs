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
    let trials = vec![
        trial("a_list_that_is_cut_off_is_4_and_named", &[], cut_list),
        trial("one_flipped_bit_makes_no_block_gone", &[], flipped_key),
        trial("a_list_as_powershell_writes_it", &[], powershell),
        trial("a_dump_without_an_id_is_4_and_named", &[], no_id),
        trial("files_that_are_no_blocks_are_6_and_named", &[], no_blocks),
        trial("blocks_without_digests_are_counted", &[], no_digests),
        trial("a_report_has_all_the_damage_of_a_dump", &[], all_damage),
    ];
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

/// With one bit flipped in the key of a token, a block would read as zeros though its file is there.
fn flipped_key() -> Outcome {
    const CHILD: &str = "snap-0123456789abcdef1";
    let dump = Dump::new()?;
    let entry = json!({"BlockIndex": 1, "FirstBlockToken": "AAAB", "SecondBlockToken": "AAAB"});
    let page = json!({"ChangedBlocks": [entry], "VolumeSize": 1, "BlockSize": BLOCK});
    dump.json(&format!("{SNAPSHOT}/list.json"), &list(2))?;
    for (name, seed) in [("0", 1), ("1", 2)] {
        dump.write(&format!("{SNAPSHOT}/{name}.bin"), &noise(seed, BLOCK))?;
    }
    dump.write(&format!("{CHILD}/1.bin"), &noise(3, BLOCK))?;
    let name = format!("{CHILD}/list-changed-blocks.{SNAPSHOT}..{CHILD}.json");
    dump.json(&name, &page)?;
    let of_child = |call: Call| call.option("--set-id", CHILD);
    of_child(dump.restore()).succeeds()?;
    let image = read(&dump.scratch.path("target"))?;
    ensure!(image[BLOCK..2 * BLOCK] == noise(3, BLOCK), "the block is another");
    // `T` is 0x54, `U` is 0x55.
    dump.write(&name, page.to_string().replace("SecondBlockT", "SecondBlockU").as_bytes())?;
    for call in [dump.restore().arg("--force"), dump.call("verify"), dump.call("inspect")] {
        let ran = of_child(call).exits(4)?;
        let said = ["SecondBlockUoken", "entry 0 of ChangedBlocks", &name];
        ensure!(said.iter().all(|word| ran.stderr.contains(word)), "{}", ran.describe());
    }
    ensure!(
        dump.call("list").json_exits(4)?["unreadable"].to_string().contains(&name),
        "not listed"
    );
    Ok(())
}

fn powershell() -> Outcome {
    let dump = Dump::new()?;
    let units = list(1).to_string();
    let units = units.encode_utf16().flat_map(u16::to_le_bytes);
    let text: Vec<u8> = [0xff, 0xfe].into_iter().chain(units).collect();
    dump.write(&format!("{SNAPSHOT}/list.json"), &text)?;
    dump.write(&format!("{SNAPSHOT}/block_0"), &noise(1, BLOCK))?;
    dump.restore().succeeds()?;
    let image = read(&dump.scratch.path("target"))?;
    ensure!(image[..BLOCK] == noise(1, BLOCK), "the block is another");
    Ok(())
}

fn no_id() -> Outcome {
    let dump = Dump::new()?;
    dump.json("x/list.json", &list(1))?;
    dump.write("x/0.bin", &noise(1, BLOCK))?;
    let listed = dump.call("list").json_exits(4)?;
    ensure!(listed["unreadable"].to_string().contains("x/list.json"), "{listed}");
    for command in ["restore", "plan"] {
        let call = dump.call(command).option("-o", dump.scratch.path("target"));
        let ran = call.exits(4)?;
        ensure!(ran.stderr.contains("which snapshot it is of"), "{}", ran.describe());
    }
    Ok(())
}

fn no_blocks() -> Outcome {
    let dump = Dump::new()?;
    dump.json(&format!("{SNAPSHOT}/list.json"), &list(2))?;
    for name in ["first.chunk", "second.chunk"] {
        dump.write(&format!("{SNAPSHOT}/blocks/{name}"), &noise(1, BLOCK))?;
    }
    let listed = dump.call("list").json()?;
    ensure!(listed["sets"][0]["state"] == "incomplete", "{listed}");
    let ran = dump.restore().exits(6)?;
    let said = ["the files of 2 blocks", "first.chunk (and 1 more) is not used"];
    ensure!(said.iter().all(|word| ran.stderr.contains(word)), "{}", ran.describe());
    Ok(())
}

/// Checksums in a form that is not known are not passed over without a word.
fn no_digests() -> Outcome {
    let dump = Dump::new()?;
    dump.json(&format!("{SNAPSHOT}/list.json"), &list(1))?;
    dump.write(&format!("{SNAPSHOT}/0.bin"), &noise(1, BLOCK))?;
    dump.json(&format!("{SNAPSHOT}/checksums.json"), &json!({"0": "B4VNL+8pega6gWheZgwzLe"}))?;
    let ran = dump.restore().succeeds()?;
    let said = ["1 of 1 blocks have no SHA-256", "checksums.json is not used"];
    ensure!(said.iter().all(|word| ran.stderr.contains(word)), "{}", ran.describe());
    let done = dump.restore().arg("--force").json()?;
    ensure!(done["proof"]["none"] == BLOCK && done["proof"]["digest"] == 0, "{done}");
    let listed = dump.call("list").json()?;
    ensure!(listed["sets"][0]["warnings"].to_string().contains("no SHA-256"), "{listed}");
    Ok(())
}

/// More blocks are missing than are kept: every second one, so that no two of them are one place.
fn all_damage() -> Outcome {
    let dump = Dump::new()?;
    let entry = |block: u32| json!({"BlockIndex": block, "BlockToken": "AAAB"});
    let blocks: Vec<Value> = (0..2048).step_by(2).chain([2047]).map(entry).collect();
    let lost = blocks.len() as u64 - 2;
    let value = json!({"Blocks": blocks, "ExpiryTime": 1_795_843_491.246, "VolumeSize": 1,
                       "BlockSize": BLOCK});
    dump.json(&format!("list-snapshot-blocks.{SNAPSHOT}.json"), &value)?;
    dump.write("0.bin", &noise(1, BLOCK))?;
    dump.write("2047.bin", &noise(2, BLOCK))?;
    let report = dump.scratch.path("report");
    let call = dump.call("verify").option("--report", &report).arg("--json");
    let said = call.exits(4)?.document()?;
    let told = said["damage"].as_array().ok_or("no list")?.len() as u64;
    let more = said["more_damage"].as_u64().ok_or("no count")?;
    ensure!(told == 1000 && more == lost - told, "{told} and {more} of {lost}");
    let text = String::from_utf8(read(&report)?)?;
    let lines: std::collections::BTreeSet<&str> = text.lines().collect();
    ensure!(lines.len() as u64 == lost, "{} lines of {lost}", lines.len());
    Ok(())
}
