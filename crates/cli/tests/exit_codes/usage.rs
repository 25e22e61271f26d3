//! 2: the command line cannot be followed as it is, or could mean several things.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use libtest_mimic::Trial;

use crate::support::image::Filesystem;
use crate::support::layout::Layout;
use crate::support::loopmount::LoopMount;
use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::sample::Sample;
use crate::support::scratch::{make_dir, set_len, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    let mount = Filesystem::Ext4.needs();
    vec![
        trial("code_2_bad_command_lines", &[], bad_command_lines),
        trial("code_2_not_meant_together", &[], not_meant_together),
        trial("code_2_bad_captures", &[], bad_captures),
        trial("code_2_bad_layouts", &[], bad_layouts),
        trial("code_2_several_source_volumes", &[], several_source_volumes),
        trial("code_2_forked_lineage", &[], forked_lineage),
        trial("code_2_consistency_of_a_file_open_for_writing", &[], open_for_writing),
        trial("code_2_consistency_of_a_mounted_loop_device", &mount, mounted_loop_device),
        trial("code_2_consistency_of_a_mounted_image", &mount, mounted_image),
    ]
}

fn bad_command_lines() -> Outcome {
    let stage = Stage::new()?;
    let calls = [
        Call::new("restore").arg(&stage.sets),
        Call::new("restore").option("-o", stage.target()),
        stage.restore().arg("--no-such-flag"),
        stage.restore().option("--generation", "last"),
        stage.restore().option("--at", "yesterday"),
        stage.restore().option("-j", "some"),
        stage.restore().option("--expect-content-id", "xyz"),
        Call::new("list"),
        Call::new("verify"),
        Call::new("no-such-command"),
        Call::new("rebuild").arg(stage.file("vol-a")?),
        // What salvage fills and maps is for salvage only, and a byte is a byte.
        stage.restore().option("--map", stage.out.join("x.map")),
        stage.restore().option("--fill", "1"),
        stage.restore().arg("--salvage").option("--fill", "256"),
        stage.restore().arg("--salvage").option("--fill", "0xaa"),
        stage.restore().arg("--salvage").option("--fill=-1", "x"),
    ];
    for call in calls {
        stage.refuses(call, 2, &[])?;
    }
    Ok(())
}

fn bad_captures() -> Outcome {
    let stage = Stage::new()?;
    let member = &stage.sample.members["vol-a"];
    let tail = &stage.sample.members["vol-c"];
    let new = || Call::new("capture").option("-o", &stage.out).option("--set-id", "dsnap-2");
    let pair = || new().member("vol-a", member).member("vol-b", tail);
    let calls = [
        // None given, one named twice, one without a name.
        new(),
        new().arg("--linear").member("vol-a", member).member("vol-a", tail),
        new().arg("--linear").member("vol-a", member).member("vol-b", member),
        new().option("--member", member),
        // Several without a layout; a stripe over unequal sizes; stripes that are no size.
        pair(),
        pair().option("--stripe", "64K"),
        pair().option("--stripe", "0"),
        pair().option("--stripe", "64Q"),
        pair().arg("--linear").option("--stripe", "64K"),
        new().member("vol-a", member).option("--chunk-size", "5000"),
        new().member("vol-a", member).option("--chunk-size", "2K"),
        new().member("vol-a", member).option("--chunk-size", "32M"),
        new().member("vol-a", member).option("--time", "noon"),
        new().member("vol-a", member).option("--consistency", "perfect"),
        new().member("vol-a", member).option("--tag", "no-equals-sign"),
    ];
    for call in calls {
        stage.refuses(call, 2, &[])?;
    }
    // Nothing that could be captured, and what is not there at all.
    stage.refuses(new().arg(&stage.sets), 2, &["raw image"])?;
    stage.refuses(new().arg("/nowhere"), 4, &["/nowhere: No such file"])?;
    for id in ["../escape", "a/b", "", ".", ".."] {
        let call = Call::new("capture").option("-o", &stage.out).member("vol-a", member);
        stage.refuses(call.option("--set-id", id), 2, &[])?;
    }
    Ok(())
}

/// A layout that is not one: each is refused with a word on what is wrong.
/// Each is refused before anything is read or written, whatever else is wrong.
fn not_meant_together() -> Outcome {
    let stage = Stage::new()?;
    write(&stage.target(), b"precious")?;
    let members =
        || Call::new("restore").arg(&stage.sets).option("--members", stage.out.join("dir"));
    let pipe = || Call::new("restore").arg(&stage.sets).option("-o", "-");
    let calls = [
        (stage.restore().arg("--delta"), "--in-place"),
        (stage.restore().option("--shard", "1/2"), "--in-place"),
        (stage.restore().option("--expect-size", "1M"), "--in-place"),
        (stage.restore().arg("--in-place").arg("--force"), "--force"),
        (stage.restore().arg("--in-place").option("--shard", "0/2"), "1 to N"),
        (stage.restore().arg("--no-journal").arg("--restart"), "--restart"),
        (stage.restore().option("--size", "1"), "less than the volume"),
        (stage.restore().option("--offset", "1T"), "beyond the volume"),
        (stage.restore().option("--size", "1T").option("--offset", "0"), "--offset"),
        (stage.restore().option("--sync-every", "0"), "1G"),
        (stage.restore().option("--limit-rate", "0"), "rate"),
        (stage.restore().option("--hash", "crc"), "sha256"),
        (stage.restore().arg("--linear"), "--linear"),
        (stage.restore().member("v", &stage.target()), "--member"),
        (members().arg("--force"), "--members"),
        (members().option("--hash", "md5"), "--members"),
        (members().option("--journal", "j"), "--members"),
        (members().arg("--dry-run"), "plan"),
        (pipe().arg("--verify-target"), "standard output"),
        (pipe().arg("--in-place"), "standard output"),
        (pipe().option("--sync-every", "1s"), "resumed"),
        (Call::new("plan").arg("-").option("-o", stage.target()), "pipe"),
        (Call::new("restore").arg("-").option("-o", stage.target()).arg("--dry-run"), "pipe"),
        (Call::new("restore").arg("-").option("-o", stage.target()).arg("--salvage"), "pipe"),
        (Call::new("restore").arg(&stage.sets).option("-o", "new/"), "directory"),
        (Call::new("verify").arg(&stage.sets).arg("--quick").option("--target", "x"), "--quick"),
    ];
    for (call, says) in calls {
        stage.refuses(call, 2, &[says])?;
    }
    Ok(())
}

fn bad_layouts() -> Outcome {
    let stage = Stage::new()?;
    let whole = |text: &str| format!("version = 1\nlogical_size = 131072\n{text}");
    let segment = |start: u32, length: u32, member: &str, offset: u32| {
        format!(
            "[[segment]]\nstart = {start}\nlength = {length}\nkind = \"linear\"\n\
             columns = [ {{ member = \"{member}\", offset = {offset} }} ]\n"
        )
    };
    let both = |a: &str, b: &str| whole(&format!("{a}{b}"));
    let striped = "[[segment]]\nstart = 0\nlength = 131072\nkind = \"striped\"\nstripe = 65536\n";
    let layouts = [
        ("not TOML", "version = ".to_owned()),
        ("another version", whole(&segment(0, 131_072, "vol-a", 0)).replace("= 1\n", "= 9\n")),
        (
            "a hole",
            both(&segment(0, 65_536, "vol-a", 0), &segment(69_632, 61_440, "vol-a", 65_536)),
        ),
        ("too short", whole(&segment(0, 65_536, "vol-a", 0))),
        (
            "overlapping",
            both(&segment(0, 65_536, "vol-a", 0), &segment(61_440, 69_632, "vol-a", 65_536)),
        ),
        (
            "bytes used twice",
            both(&segment(0, 65_536, "vol-a", 0), &segment(65_536, 65_536, "vol-a", 4096)),
        ),
        ("beyond the member", whole(&segment(0, 131_072, "vol-a", 500_000))),
        ("an unknown member", whole(&segment(0, 131_072, "vol-z", 0))),
        ("no columns", whole(striped)),
        (
            "stripes shorter than a sector",
            whole(&format!(
                "{striped}columns = [ {{ member = \"vol-a\", offset = 0 }}, {{ member = \"vol-a\", offset = 65536 }} ]\n"
            ))
            .replace("stripe = 65536", "stripe = 256"),
        ),
        (
            "not whole rows",
            whole(&format!(
                "{striped}columns = [ {{ member = \"vol-a\", offset = 0 }}, {{ member = \"vol-a\", offset = 65536 }}, \
                 {{ member = \"vol-a\", offset = 131072 }} ]\n"
            )),
        ),
    ];
    for (what, text) in layouts {
        let file = stage.scratch.path("bad-layout.toml");
        write(&file, text.as_bytes())?;
        let call = Call::new("capture")
            .option("-o", &stage.out)
            .option("--set-id", "dsnap-2")
            .option("--layout", &file)
            .member("vol-a", &stage.sample.members["vol-a"]);
        let refused = stage.refuses(call, 2, &["bad-layout.toml"]);
        refused.map_err(|e| format!("{what}: {}", e.message().unwrap_or_default()))?;
    }
    Ok(())
}

/// Two lineages side by side: the candidates are listed, and nothing is guessed.
fn several_source_volumes() -> Outcome {
    let stage = Stage::new()?;
    let other =
        Sample::make(&stage.scratch.path("other"), Layout::new().linear(8192, ("vol-x", 0)), 3)?;
    other.capture(&stage.sets, "dsnap-0b").option("--source-volume", "dvol-other").succeeds()?;
    stage.refuses(stage.restore(), 2, &["dvol-sample", "dvol-other"])?;
    let verify = Call::new("verify").arg(&stage.sets);
    stage.refuses(verify, 2, &["dvol-sample", "dvol-other"])?;
    // 2 goes before 4: a file that could be of any set is the lesser trouble.
    let scrap = stage.sets.join("scrap.snap");
    write(&scrap, b"of no known set")?;
    stage.refuses(stage.restore(), 2, &["dvol-sample", "dvol-other"])?;
    std::fs::remove_file(&scrap)?;
    stage.restores(&stage.restore().option("--source-volume", "dvol-sample"), &stage.sample)?;
    stage.restores(&stage.restore().option("--source-volume", "dvol-other"), &other)
}

/// Two children of one parent: neither is the newest.
fn forked_lineage() -> Outcome {
    let stage = Stage::new()?;
    let (one, _) = stage.next_generation("dsnap-1a", 1)?;
    // The second child must not see the first as the newest.
    let sets = stage.scratch.path("only-parent");
    make_dir(&sets)?;
    crate::support::scratch::copy_tree(&stage.set.directory, &sets)?;
    let (two, _) = {
        let dir = stage.scratch.path("members-dsnap-1b");
        let mut image = crate::support::scratch::read(&stage.sample.logical)?;
        image[70_000..71_000].fill(7);
        let sample = Sample::with_image(&dir, stage.sample.layout.clone(), &image)?;
        let call = sample.capture(&stage.sets, "dsnap-1b").option("--parent", &sets);
        let ran = call.option("--source-volume", "dvol-sample").succeeds()?;
        (sample, ran)
    };
    stage.refuses(stage.restore(), 2, &["dsnap-1a", "dsnap-1b"])?;
    let call = stage.restore().option("--generation", "1");
    stage.refuses(call, 2, &["dsnap-1a", "dsnap-1b"])?;
    stage.restores(&stage.restore().option("--set-id", "dsnap-1a"), &one)?;
    stage.restores(&stage.restore().option("--set-id", "dsnap-1b"), &two)?;
    stage.restores(&stage.restore().option("--generation", "0"), &stage.sample)
}

/// A capture of one member that claims, and then one that does not claim, a consistency.
fn claims(stage: &Stage, member: &Path) -> Outcome {
    for claim in ["crash", "quiesced"] {
        let call = Call::new("capture")
            .option("-o", &stage.out)
            .option("--set-id", "dsnap-2")
            .member("vol-a", member)
            .option("--consistency", claim);
        let name = member.to_string_lossy().into_owned();
        stage.refuses(call, 2, &[name.as_str()])?;
    }
    let allowed = [
        &["--consistency", "unknown"][..],
        &[],
        &["--consistency", "crash", "--source-is-snapshot"],
    ];
    for (nth, flags) in allowed.into_iter().enumerate() {
        let out = stage.scratch.dir(&format!("allowed-{nth}"))?;
        let call = Call::new("capture").option("-o", &out).option("--set-id", "dsnap-2");
        let report = call.member("vol-a", member).args(flags).json()?;
        ensure!(report["set_id"] == "dsnap-2", "{report}");
    }
    Ok(())
}

/// Another process that has a file open for reading and writing.
struct Writer {
    child: Child,
}

impl Writer {
    fn of(path: &Path) -> Outcome<Self> {
        let script = "exec 3<>\"$1\" && echo open && read -r wait";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut writer = Self { child: command.spawn()? };
        let mut said = [0; 5];
        let stdout = writer.child.stdout.as_mut().ok_or("no standard output")?;
        stdout.read_exact(&mut said)?;
        Ok(writer)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn open_for_writing() -> Outcome {
    let stage = Stage::new()?;
    let member = stage.sample.members["vol-a"].clone();
    let writer = Writer::of(&member)?;
    claims(&stage, &member)?;
    drop(writer);
    // Open for reading only is no reason to refuse.
    let open = File::open(&member)?;
    let call = Call::new("capture").option("-o", &stage.out).member("vol-a", &member);
    call.option("--consistency", "quiesced").option("--set-id", "dsnap-3").succeeds()?;
    drop(open);
    Ok(())
}

fn mounted(stage: &Stage) -> Outcome<LoopMount> {
    let image = stage.scratch.path("mounted.img");
    let tree = stage.scratch.dir("tree")?;
    write(&tree.join("file"), b"content")?;
    let mount_at = stage.scratch.dir("mounted")?;
    drop(set_len(&image, 16 << 20)?);
    Filesystem::Ext4.make(&image, 16 << 20, &tree, &mount_at)?;
    LoopMount::read_write(&image, &mount_at)
}

fn mounted_loop_device() -> Outcome {
    let stage = Stage::new()?;
    let mount = mounted(&stage)?;
    let device = mount.device().to_owned();
    claims(&stage, &device)?;
    mount.unmount()
}

/// The file behind a mounted loop device is just as much in use.
fn mounted_image() -> Outcome {
    let stage = Stage::new()?;
    let mount = mounted(&stage)?;
    claims(&stage, &stage.scratch.path("mounted.img"))?;
    mount.unmount()
}
