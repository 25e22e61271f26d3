//! The documentation says what the program does: flags, exit codes, JSON fields, the output of every
//! console example, the library example, and links.

#[path = "docs/examples.rs"]
mod examples;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use attach::overlay::Overlay;
use libtest_mimic::Arguments;
use repository::catalog::{Catalog, Lookup, Selection};
use restore::image::WritableImage;
use restore::reader::{Options, Reader};
use serde_json::Value;

use support::attachment::{ATTACH, Attachment, attach};
use support::frames::{Anatomy, middle};
use support::needs::{Need, trial};
use support::noise::noise;
use support::run::{COMMANDS, Call};
use support::scratch::{Scratch, copy_tree, flip_bit, set_len, write};
use support::stacks::Samples;
use support::{Outcome, ensure};

/// The contract. What a script may rely on is changed here and on the page, or not at all.
const EXIT_CODES: [(&str, &str); 11] = [
    ("0", "done and verified"),
    ("1", "failed"),
    ("2", "usage"),
    ("3", "done with damage, map written"),
    ("4", "source damaged, unreadable or not as expected"),
    ("5", "target refused"),
    ("6", "set or chain incomplete, nothing written"),
    ("7", "target out of space or failed"),
    ("130", "interrupted"),
    ("141", "reader gone"),
    ("143", "terminated"),
];

fn main() -> ExitCode {
    let mounted = [ATTACH.as_slice(), &[Need::Filesystem("ext4")]].concat();
    let mut trials = vec![
        trial("flags", &[], flags),
        trial("flags_named_in_prose", &[], flags_named_in_prose),
        trial("exit_codes", &[], exit_codes),
        trial("json_fields", &[], || json_fields(documents()?)),
        trial("json_fields_of_attached_volumes", &mounted, || json_fields(attached_documents()?)),
        trial("library_example", &[], library_example),
        trial("links", &[], links),
    ];
    for page in ["README.md", "docs/CLI.md"] {
        let needs = examples::tools_of(page);
        trials.push(trial(&format!("examples_of_{page}"), &needs, move || examples::run_all(page)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page(name: &str) -> Outcome<String> {
    fs::read_to_string(root().join(name)).map_err(|e| format!("{name}: {e}").into())
}

/// The part of a page below a heading of the second level, up to the next one.
fn section<'p>(page: &'p str, heading: &str) -> Outcome<&'p str> {
    let start = page
        .find(&format!("\n## {heading}\n"))
        .ok_or_else(|| format!("docs/CLI.md has no section {heading:?}"))?;
    let rest = &page[start + 1..];
    Ok(&rest[..rest.find("\n## ").unwrap_or(rest.len())])
}

/// The first two cells of each row of the tables with this header.
fn table(section: &str, header: &str) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let mut lines = section.lines();
    while lines.any(|line| line.starts_with(header)) {
        rows.extend(lines.by_ref().skip(1).take_while(|line| line.starts_with('|')).map(|row| {
            let mut cells = row.trim_matches('|').split('|').map(|c| c.trim().to_owned());
            (cells.next().unwrap_or_default(), cells.next().unwrap_or_default())
        }));
    }
    rows
}

/// Every `--flag` in a text.
fn long_flags(text: &str) -> BTreeSet<String> {
    let is_flag = |c: char| c.is_ascii_lowercase() || c == '-';
    let words = text.split(|c: char| !is_flag(c));
    words
        .filter(|w| w.strip_prefix("--").is_some_and(|f| f.starts_with(|c: char| c != '-')))
        .map(str::to_owned)
        .collect()
}

/// The long flags that the help of a command defines, or of the program for an empty name. Each
/// stands at the start of a line.
fn flags_of_help(command: &str) -> Outcome<BTreeSet<String>> {
    let call =
        if command.is_empty() { Call::new("--help") } else { Call::new(command).arg("--help") };
    let help = call.succeeds()?;
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let defined = help.lines().map(str::trim_start).filter(|l| l.starts_with('-'));
    // Behind two blanks the explanation starts.
    Ok(defined.flat_map(|l| long_flags(l.split("  ").next().unwrap_or(l))).collect())
}

fn flags() -> Outcome {
    let page = page("docs/CLI.md")?;
    let defined = |heading: &str| -> Outcome<BTreeSet<String>> {
        let rows = table(section(&page, heading)?, "| option ");
        Ok(rows.iter().flat_map(|(flag, _)| long_flags(flag)).collect())
    };
    let common = defined("Options of every command")?;
    let volume = &defined("Choosing a set")? | &defined("Raw members")?;
    for command in COMMANDS {
        // `plan` takes what `restore` takes.
        let own = defined(if command == "plan" { "restore" } else { command })?;
        let mut said = &own | &common;
        if !matches!(command, "guess-layout" | "rebuild" | "capture" | "attached" | "detach") {
            said.extend(volume.iter().cloned());
        }
        let real = flags_of_help(command)?;
        ensure!(said == real, "{command}: docs/CLI.md has {said:?}, --help has {real:?}");
    }
    let real = flags_of_help("")?;
    ensure!(common == real, "docs/CLI.md has {common:?}, --help has {real:?}");
    Ok(())
}

/// No page speaks of a flag that is not there.
fn flags_named_in_prose() -> Outcome {
    // Of other programs in the examples, and of our scripts.
    let others =
        ["--additional-suffix", "--check", "--ignore-missing", "--release", "--example", "--long"];
    let mut known: BTreeSet<String> = others.map(str::to_owned).into();
    for command in COMMANDS {
        known.extend(flags_of_help(command)?);
    }
    for name in ["README.md", "docs/CLI.md"] {
        let unknown = &long_flags(&page(name)?) - &known;
        ensure!(unknown.is_empty(), "{name} names {unknown:?}, which no command has");
    }
    Ok(())
}

fn exit_codes() -> Outcome {
    let page = page("docs/CLI.md")?;
    let said = table(section(&page, "Exit codes")?, "| code ");
    let contract = EXIT_CODES.map(|(code, meaning)| (code.to_owned(), meaning.to_owned()));
    ensure!(said == contract, "docs/CLI.md has {said:?}, the contract is {contract:?}");
    Ok(())
}

/// The paths of all values in a document, `a.b[].c`.
fn fields(value: &Value, at: &str, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) if !at.ends_with("tags") && at != "hashes" => {
            for (key, value) in map {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                fields(value, &at, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                fields(item, &format!("{at}[]"), out);
            }
        }
        _ => drop(out.insert(at.to_owned())),
    }
}

/// Runs every command on sound and on damaged files, so that each field is there at least once.
fn documents() -> Outcome<BTreeMap<&'static str, Vec<Value>>> {
    let mut all = plain_documents()?;
    // Half a mirror, of which there is something to be said.
    let scratch = Scratch::new()?;
    let half = Samples::new(&scratch, "mdraid/raid1-2x")?.disks("gen0")?.remove(0);
    for command in ["verify", "restore", "plan", "read", "capture"] {
        let call = Call::new(command).arg(&half);
        let is_verify = command == "verify";
        let call = if is_verify { call } else { call.option("-o", scratch.path(command)) };
        all.entry(command).or_default().push(call.json()?);
    }
    let (demo, overlay) = (root().join("testdata/demo"), scratch.path("overlay"));
    write_over(&demo, &overlay)?;
    for command in ["restore", "plan"] {
        let call =
            Call::new(command).arg(&demo).option("-o", scratch.path(&format!("over-{command}")));
        let document = call.option("--overlay", &overlay).json()?;
        ensure!(document["content_id"].is_null(), "{document}");
        all.entry(command).or_default().push(document);
    }
    Ok(all)
}

/// A set with damage in more chunks than are listed.
fn all_damaged(scratch: &Scratch) -> Outcome<PathBuf> {
    let (raw, sets) = (scratch.path("many"), scratch.path("many-sets"));
    write(&raw, &noise(1, 1200 * 4096))?;
    let call = Call::new("capture").option("-o", &sets).member("v", &raw).option("--set-id", "s");
    call.option("--chunk-size", "4K").succeeds()?;
    let file = sets.join("s/0-v.snap");
    for frame in Anatomy::of(&file)?.data() {
        flip_bit(&file, middle(frame))?;
    }
    Ok(sets)
}

/// Writes a sector over the newest set.
fn write_over(sets: &Path, overlay: &Path) -> Outcome {
    let catalog = Catalog::open(&[sets.to_owned()], &Lookup::default());
    let set = catalog.open_set(catalog.select(&Selection::default())?.entry)?;
    let lower = Reader::new(Arc::new(set.volume()?), &Options::default())?;
    let overlay = Overlay::open_or_create(overlay, &set.content.to_string(), Arc::new(lower))?;
    overlay.write_at(0, &[1; 512])?;
    Ok(overlay.flush()?)
}

fn plain_documents() -> Outcome<BTreeMap<&'static str, Vec<Value>>> {
    let scratch = Scratch::new()?;
    let demo = root().join("testdata/demo");
    let (damaged, cut) = (scratch.path("damaged"), scratch.path("cut"));
    copy_tree(&demo, &damaged)?;
    flip_bit(&damaged.join("dsnap-demo-1/0-vol-demo-a.snap"), 30_000)?;
    copy_tree(&demo, &cut)?;
    let cut_file = cut.join("dsnap-demo-1/2-vol-demo-c.snap");
    set_len(&cut_file, fs::metadata(&cut_file)?.len() - 1)?;
    let (raw, other) = (scratch.path("raw"), scratch.path("other"));
    write(&raw, &[0; 4096])?;
    write(&other, &[0; 4096])?;
    let of_raw = |command: &str| {
        Call::new(command).member("v", &raw).member("w", &other).option("--stripe", "4K")
    };
    let against = |from: &Path| Call::new("verify").arg(from).option("--target", &raw);
    let members = Call::new("restore").arg(&damaged).option("--members", scratch.path("dir"));
    let restore =
        |from: &Path, to: &str| Call::new("restore").arg(from).option("-o", scratch.path(to));
    let rebuild = Call::new("rebuild").arg(&cut_file).option("-o", scratch.path("whole.snap"));
    let capture = Call::new("capture").option("-o", scratch.path("sets")).member("v", &raw);
    Ok(BTreeMap::from([
        ("list", vec![Call::new("list").arg(&cut).json_exits(4)?]),
        (
            "inspect",
            vec![
                Call::new("inspect").arg(&demo).json()?,
                Call::new("inspect").arg(&cut).json_exits(4)?,
            ],
        ),
        (
            "verify",
            vec![
                Call::new("verify").arg(&damaged).json_exits(4)?,
                Call::new("verify").arg(all_damaged(&scratch)?).json_exits(4)?,
                against(&demo).json_exits(4)?,
                of_raw("verify").json()?,
            ],
        ),
        (
            "restore",
            vec![
                restore(&damaged, "a").arg("--salvage").option("--hash", "md5").json_exits(3)?,
                members.arg("--salvage").json_exits(3)?,
            ],
        ),
        ("plan", vec![Call::new("plan").arg(&demo).option("-o", scratch.path("planned")).json()?]),
        ("read", vec![Call::new("read").arg(&demo).option("-o", scratch.path("bytes")).json()?]),
        ("Other systems' backups", of_backups(&scratch)?),
        (
            "Raw members",
            of_stacks(&scratch, vec![of_raw("list").json()?, of_raw("inspect").json()?])?,
        ),
        ("guess-layout", of_guesses(&scratch)?),
        ("rebuild", vec![rebuild.option("--sibling", &cut).json()?]),
        ("capture", vec![capture.json()?]),
        ("JSON", vec![restore(&cut, "b").json_exits(4)?]),
    ]))
}

/// The same of commands that need a machine to attach volumes on.
fn attached_documents() -> Outcome<BTreeMap<&'static str, Vec<Value>>> {
    let scratch = Scratch::new()?;
    let (demo, at) = (root().join("testdata/demo"), scratch.dir("at")?);
    let attachment = Attachment::by(|name| attach(&demo, name).option("--mount", &at))?;
    let half = Samples::new(&scratch, "mdraid/raid1-2x")?.disks("gen0")?.remove(0);
    let of_half = Attachment::by(|name| attach(&half, name))?;
    let documents = BTreeMap::from([
        ("attach", vec![attachment.document.clone(), of_half.document.clone()]),
        (
            "attached",
            vec![serde_json::json!({ "attached": [attachment.listed()?, of_half.listed()?] })],
        ),
        ("detach", vec![attachment.detach().json()?]),
    ]);
    attachment.is_gone()?;
    of_half.detach().succeeds()?;
    Ok(documents)
}

/// Of a dump of an EBS snapshot by flexible-snapshot-proxy, with a file that is none, tied to a
/// snapshot that is not there.
fn of_backups(scratch: &Scratch) -> Outcome<Vec<Value>> {
    let (tree, id) = (scratch.dir("backups")?, "snap-0000000000000000a");
    let dump = tree.join(format!("{id}.1"));
    fs::create_dir(&dump)?;
    write(&dump.join(format!("0.{}=.1.zstd", "A".repeat(43))), b"no frame")?;
    let described = |id: &str, volume: &str| {
        serde_json::json!({"SnapshotId": id, "VolumeId": volume, "VolumeSize": 1,
            "StartTime": "2026-01-01T00:00:00Z", "Tags": [
                {"Key": "datafy:snapshot:id", "Value": "dsnap-1"},
                {"Key": "datafy:snapshot:generation-id", "Value": "g-1"}]})
    };
    let both = [described(id, "vol-a"), described("snap-0000000000000000b", "vol-b")];
    let text = serde_json::json!({ "Snapshots": both }).to_string();
    write(&tree.join("describe-snapshots.json"), text.as_bytes())?;
    write(&tree.join("broken.json"), b"{")?;
    let call = |command: &str| Call::new(command).arg(&tree);
    Ok(vec![
        call("list").json_exits(4)?,
        call("inspect").option("--set-id", "dsnap-1").json_exits(6)?,
        call("verify").option("--set-id", id).json_exits(4)?,
    ])
}

/// Members with arrays, groups and partitions on them, besides those that have none.
fn of_stacks(scratch: &Scratch, mut documents: Vec<Value>) -> Outcome<Vec<Value>> {
    for (sample, state) in [("mdraid/raid0-2x-64k", "gen0"), ("lvm2/linear-3pv", "gen1")] {
        let disks = Samples::new(scratch, sample)?.disks(state)?;
        documents.push(Call::new("inspect").args(&disks).json()?);
        // With one of them missing there are problems.
        documents.push(
            Call::new("inspect")
                .args(&disks[1..])
                .json_exits(6)
                .or_else(|_| Call::new("inspect").args(&disks[1..]).json())?,
        );
    }
    // A partition that is there, and one that is not.
    let disk = scratch.path("partitioned");
    let mut bytes = vec![0; 2 << 20];
    for (entry, first) in [(446, 2048_u32), (462, 1 << 20)] {
        bytes[entry + 4] = 0x83;
        bytes[entry + 8..entry + 12].copy_from_slice(&first.to_le_bytes());
        bytes[entry + 12..entry + 16].copy_from_slice(&2048_u32.to_le_bytes());
    }
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    write(&disk, &bytes)?;
    documents.push(Call::new("inspect").arg(&disk).json()?);
    Ok(documents)
}

fn of_guesses(scratch: &Scratch) -> Outcome<Vec<Value>> {
    let disks = Samples::new(scratch, "mdraid/raid0-2x-64k")?.disks("gen0")?;
    Ok(vec![Call::new("guess-layout").args(&disks).json()?])
}

/// What a page says once for what is on a member, an array, a logical volume or a partition.
fn contents_as_one(fields: &BTreeSet<String>) -> BTreeSet<String> {
    let own = |field: &String| match field.rfind("contents.") {
        Some(at) => field[at..].to_owned(),
        None => field.clone(),
    };
    fields.iter().map(own).collect()
}

/// What a page says once for an image and for each of several.
fn members_as_one(fields: &BTreeSet<String>) -> BTreeSet<String> {
    fields.iter().map(|f| f.strip_prefix("members[].").unwrap_or(f).to_owned()).collect()
}

fn json_fields(documents: BTreeMap<&str, Vec<Value>>) -> Outcome {
    let page = page("docs/CLI.md")?;
    let of_sets: Vec<String> = {
        let rows = table(section(&page, "list")?, "| JSON field ");
        let names = rows.iter().map(|(field, _)| field.trim_matches('`').to_owned());
        names.filter_map(|f| f.strip_prefix("sets[].").map(|f| format!("set.{f}"))).collect()
    };
    let rows = table(section(&page, "attach")?, "| JSON field ");
    let of_attach = rows.iter().map(|(field, _)| field.trim_matches('`'));
    let of_attach: Vec<String> = of_attach.map(|f| format!("attached[].volume.{f}")).collect();
    let rows = table(section(&page, "Raw members")?, "| JSON field ");
    let of_raw: BTreeSet<String> =
        rows.iter().map(|(field, _)| field.trim_matches('`').to_owned()).collect();
    for (command, documents) in documents {
        let mut real = BTreeSet::new();
        for document in &documents {
            fields(document, "", &mut real);
        }
        let mut said = BTreeSet::new();
        for (field, _) in table(section(&page, command)?, "| JSON field ") {
            match field.trim_matches('`') {
                "set.*" => said.extend(of_sets.iter().cloned()),
                "sets[].*" => {
                    said.extend(of_sets.iter().map(|f| f.replacen("set.", "sets[].", 1)));
                }
                "attached[].volume.*" => said.extend(of_attach.iter().cloned()),
                "members[].*" => real = members_as_one(&real),
                // There all of them are given at least once.
                "contents.*" | "arrays[].*" | "groups[].*" => {
                    real = &contents_as_one(&real) - &of_raw;
                }
                name if name.starts_with("contents.") => {
                    real = contents_as_one(&real);
                    said.insert(name.to_owned());
                }
                name => drop(said.insert(name.to_owned())),
            }
        }
        let (missing, stale) = (&real - &said, &said - &real);
        ensure!(
            missing.is_empty() && stale.is_empty(),
            "{command}: docs/CLI.md lacks {missing:?}; it has {stale:?}, which nothing gave"
        );
    }
    Ok(())
}

/// The Rust code in README.md is part of a program that is built with the tests.
fn library_example() -> Outcome {
    let readme = page("README.md")?;
    let program = page("crates/repository/examples/restore_image.rs")?;
    let start = readme.find("```rust\n").ok_or("README.md has no Rust code")? + 8;
    let code = readme[start..].split("```").next().unwrap_or_default();
    ensure!(program.contains(code), "crates/repository/examples/restore_image.rs has no such code");
    Ok(())
}

/// A heading as the anchor that links to it.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    heading.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

/// Links between pages lead to files and headings that are there.
fn links() -> Outcome {
    for name in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "testdata/README.md"]
        .map(str::to_owned)
        .into_iter()
        .chain(pages_in_docs()?)
    {
        let text = page(&name)?;
        for target in text.split("](").skip(1).filter_map(|t| t.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
            let here = root().join(&name);
            let file = match path {
                "" => here,
                path => here.parent().unwrap_or(&here).join(path),
            };
            ensure!(file.exists(), "{name}: no file for the link {target}");
            if !fragment.is_empty() {
                let linked = fs::read_to_string(&file)?;
                let mut headings = linked.lines().filter(|l| l.starts_with('#'));
                let found = headings.any(|l| anchor(l.trim_start_matches('#')) == fragment);
                ensure!(found, "{name}: no heading for the link {target}");
            }
        }
    }
    Ok(())
}

fn pages_in_docs() -> Outcome<Vec<String>> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(root().join("docs"))? {
        pages.push(format!("docs/{}", entry?.file_name().to_string_lossy()));
    }
    Ok(pages)
}
