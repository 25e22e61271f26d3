//! The frozen files of `testdata/golden`: they still open and verify, have the ids they had, and the
//! writer still makes them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Trial};
use snapfmt::verify::Depth;
use snapfmt::{ChunkNo, Content, Digest, Record, Snapshot, SnapshotId, SnapshotWriter, StateId};

use support::golden::{Golden, directory, expected, files, sets};
use support::{open, read_back, spill, verify};

/// The release of zstd that made the chunk frames.
const MADE_WITH: &str = "1.5.7";

fn main() -> ExitCode {
    let mut trials = vec![
        trial("ids_are_those_of_expected_txt", ids_are_those_of_expected_txt),
        trial("every_file_opens_and_verifies", every_file_opens_and_verifies),
        trial("every_member_is_read_back", every_member_is_read_back),
        trial("zstd_writes_the_raw_image", zstd_writes_the_raw_image),
        trial("the_writer_makes_the_same_files", the_writer_makes_the_same_files),
    ];
    // Another release may well compress otherwise; nothing is wrong then.
    let other = zstd::zstd_safe::version_string() != MADE_WITH;
    let encoder = trial("the_encoder_makes_the_same_files", the_encoder_makes_the_same_files);
    trials.push(encoder.with_ignored_flag(other));
    let zstd = tool("zstd");
    trials.push(needing(zstd, "the_zstd_tool_writes_the_raw_image", zstd_tool_writes_the_image));
    let both = tool("zstd").and(tool("python3"));
    trials.push(needing(both, "a_reader_made_from_the_page_alone", python_reads_every_file));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// A test with a need. Unmet, it is ignored with the reason in its name, or fails where all needs
/// are to be met.
fn needing(need: Result<(), &'static str>, name: &str, test: fn()) -> Trial {
    match need {
        Ok(()) => trial(name, test),
        Err(reason) if std::env::var_os("SNAPRESTORE_TEST_REQUIRE_ALL").is_some() => {
            Trial::test(name, move || Err(reason.into()))
        }
        Err(reason) => trial(&format!("{name} ({reason})"), test).with_ignored_flag(true),
    }
}

fn tool(name: &'static str) -> Result<(), &'static str> {
    let mut command = Command::new(name);
    let run = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match run {
        Ok(status) if status.success() => Ok(()),
        _ if name == "zstd" => Err("needs the zstd tool"),
        _ => Err("needs python3 and zstd"),
    }
}

fn read(name: &str) -> Vec<u8> {
    let path = directory().join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn snapshot(name: &str) -> Snapshot {
    open(&read(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The raw image of the parent that a file names, empty for a full one.
fn parent_of(golden: &Golden, all: &[Golden]) -> Vec<u8> {
    let manifest = snapshot(&golden.name).manifest().clone();
    let Some(parent) = manifest.own().parent.clone() else { return Vec::new() };
    let name = format!("{}-{}.snap", parent.set_id, parent.volume_id);
    all.iter().find(|file| file.name == name).unwrap().plain.clone()
}

fn ids_are_those_of_expected_txt() {
    let frozen = String::from_utf8(read("expected.txt")).unwrap();
    let mut names = Vec::new();
    for line in frozen.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<_> = line.split(' ').collect();
        let [name, snapshot_id, state_id, digest] = words[..] else { panic!("{line}") };
        let footer = *snapshot(name).footer();
        assert_eq!(footer.snapshot, snapshot_id.parse::<SnapshotId>().unwrap(), "{name}");
        assert_eq!(footer.state, state_id.parse::<StateId>().unwrap(), "{name}");
        assert_eq!(Digest::of(&read(name)), digest.parse().unwrap(), "{name}");
        names.push(name.to_owned());
    }
    let all: Vec<_> = files().into_iter().map(|file| file.name).collect();
    assert_eq!(names, all);
    assert_eq!(expected(&files()).lines().count(), frozen.lines().count());
}

fn every_file_opens_and_verifies() {
    for file in files() {
        let findings = verify(&snapshot(&file.name), Depth::Full);
        assert!(findings.is_empty(), "{}: {findings:?}", file.name);
    }
}

fn every_member_is_read_back() {
    let all = files();
    for file in &all {
        let parent = parent_of(file, &all);
        assert!(read_back(&snapshot(&file.name), &parent) == file.plain, "{}", file.name);
    }
}

fn zstd_writes_the_raw_image() {
    for file in files() {
        let plain = zstd::decode_all(read(&file.name).as_slice()).unwrap();
        let stream = snapshot(&file.name).manifest().stream;
        assert!(!stream || plain == file.plain, "{}", file.name);
    }
}

/// From the frozen chunk frames, whatever release of zstd is linked.
fn the_writer_makes_the_same_files() {
    for (set, first) in sets().iter().zip([0, 2, 5]) {
        for (member, golden) in set.members.iter().zip(files().iter().skip(first)) {
            let bytes = read(&golden.name);
            let old = open(&bytes).unwrap();
            let again = rewrite(&old, &bytes, &member.plain(), &set.extent_map());
            assert!(again == bytes, "{}", golden.name);
        }
    }
}

fn rewrite(old: &Snapshot, bytes: &[u8], plain: &[u8], map: &snapfmt::ExtentMap) -> Vec<u8> {
    let manifest = old.manifest().clone();
    let chunk_size = manifest.set.chunk_size.bytes() as usize;
    let mut writer = SnapshotWriter::create(Vec::new(), spill(), manifest, map).unwrap();
    let records: Vec<Record> = old.records().collect::<Result<_, _>>().unwrap();
    let records: HashMap<u32, Record> = records.into_iter().map(|r| (r.first.0, r)).collect();
    let mut next = 0;
    while next < old.geometry().chunks() {
        let no = ChunkNo(next);
        let Some(record) = records.get(&next) else {
            let at = next as usize * chunk_size;
            let chunk = &plain[at..plain.len().min(at + chunk_size)];
            writer.inherit(no, Digest::of(chunk)).unwrap();
            next += 1;
            continue;
        };
        match record.content {
            Content::Data { stored, digest, reference: false } => {
                let from = usize::try_from(stored.offset).unwrap();
                let frame = &bytes[from..from + stored.len as usize];
                assert_eq!(writer.data(no, digest, frame).unwrap(), stored);
            }
            Content::Data { stored, digest, .. } => writer.reference(no, digest, stored).unwrap(),
            Content::Zero { .. } => writer.zeros(no, record.count).unwrap(),
            Content::Hole { .. } => writer.hole(no, record.count).unwrap(),
        }
        next = record.end();
    }
    writer.finish().unwrap().seal(old.seal()).unwrap().0
}

fn the_encoder_makes_the_same_files() {
    for file in files() {
        assert!(read(&file.name) == file.written.bytes, "{}", file.name);
    }
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", output.status);
    output.stdout
}

fn path_of(file: &Golden) -> PathBuf {
    directory().join(&file.name)
}

fn zstd_tool_writes_the_image() {
    for file in files() {
        output(Command::new("zstd").args(["-q", "-t"]).arg(path_of(&file)));
        if snapshot(&file.name).manifest().stream {
            let plain = output(Command::new("zstd").args(["-q", "-dc"]).arg(path_of(&file)));
            assert!(plain == file.plain, "{}", file.name);
        }
    }
}

fn python_reads_every_file() {
    let scratch = tempfile::tempdir().unwrap();
    let run = |file: &Path, parent: &Path, out: &Path| {
        let reader = directory().join("read_snap.py");
        output(Command::new("python3").arg(reader).arg(file).arg(out).arg(parent))
    };
    let all = files();
    for file in &all {
        let parent = scratch.path().join("parent.raw");
        std::fs::write(&parent, parent_of(file, &all)).unwrap();
        let out = scratch.path().join("member.raw");
        run(&path_of(file), &parent, &out);
        assert!(std::fs::read(&out).unwrap() == file.plain, "{}", file.name);
    }
    // A flipped bit in a frame and one in a header are noticed.
    let mut bytes = read(&all[0].name);
    let records = usize::try_from(snapshot(&all[0].name).footer().records).unwrap();
    for at in [20, records + 30, records + 140, bytes.len() - 1] {
        bytes[at] ^= 4;
        let bad = scratch.path().join("bad.snap");
        std::fs::write(&bad, &bytes).unwrap();
        let status = Command::new("python3")
            .arg(directory().join("read_snap.py"))
            .args([&bad, &scratch.path().join("x")])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(!status.success(), "byte {at}");
        bytes[at] ^= 4;
    }
}
