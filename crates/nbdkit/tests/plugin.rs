//! The plugin in a real nbdkit, read by real clients.

#[path = "../../cli/tests/support/loopmount.rs"]
#[allow(dead_code, reason = "what a test needs is told by it")]
mod loopmount;
#[path = "../../cli/tests/support/needs.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod needs;
#[path = "../../cli/tests/support/scratch.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod scratch;
#[path = "../../cli/tests/support/tool.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod tool;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Arguments;
use needs::{Need, trial};
use scratch::Scratch;
use serde_json::Value;

/// What a step of a test gives back.
pub(crate) type Outcome<T = ()> = Result<T, libtest_mimic::Failed>;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/demo");
const DUMPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/ebs-direct/datafy-pairs");
const NEEDS: [Need; 4] =
    [Need::Tool("nbdkit"), Need::Tool("nbdcopy"), Need::Tool("nbdinfo"), Need::Tool("sha256sum")];

/// How long a process in the background may take to serve.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let qemu = [&NEEDS[..], &[Need::Tool("qemu-img")]].concat();
    let unpacked = [&NEEDS[..], &[Need::Tool("tar"), Need::Tool("zstd")]].concat();
    let shell = [&NEEDS[..], &[Need::Tool("nbdsh")]].concat();
    let trials = vec![
        trial("every_generation_is_copied_out_whole", &NEEDS, copied),
        trial("clients_are_told_what_is_not_there", &NEEDS, extents),
        trial("qemu_reads_it_too", &qemu, read_by_qemu),
        trial("damage_is_an_error_for_its_range_alone", &shell, damage),
        trial("what_is_wrong_is_said_before_it_serves", &NEEDS, refused),
        trial("it_serves_from_the_background", &NEEDS, in_the_background),
        trial("a_volume_of_another_systems_backup", &unpacked, backup),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Beside the test's own directory, where cargo puts what is not for other crates to link.
fn plugin() -> Outcome<PathBuf> {
    let test = std::env::current_exe()?;
    let built = test.ancestors().skip(1).take(2).map(|dir| dir.join("libsnaprestore_nbdkit.so"));
    built.into_iter().find(|p| p.exists()).ok_or_else(|| "the plugin is not built".into())
}

/// Runs a shell command beside nbdkit, which serves `parameters`.
fn serve(parameters: &[&str], command: &str) -> Outcome<Output> {
    let nbdkit = tool::find("nbdkit").ok_or("no nbdkit")?;
    let mut call = Command::new(nbdkit);
    call.args(["--exit-with-parent", "-U", "-", "--filter=log"]);
    call.arg(plugin()?).args(parameters).arg("logfile=/dev/null").args(["--run", command]);
    Ok(call.output()?)
}

fn succeeds(parameters: &[&str], command: &str) -> Outcome<String> {
    let output = serve(parameters, command)?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn path_of(dir: &Path) -> String {
    format!("path={}", dir.display())
}

/// The digest that was noted of a generation of the demo volume.
fn truth(generation: usize) -> Outcome<String> {
    let sums = fs::read_to_string(Path::new(DEMO).join("SHA256SUMS"))?;
    let line = sums.lines().nth(generation);
    Ok(line.and_then(|l| l.split(' ').next()).ok_or("no such line")?.to_owned())
}

fn same_as(generation: usize, image: &Path) -> Outcome {
    let sum = tool::run("sha256sum", [image])?;
    let truth = truth(generation)?;
    if sum.starts_with(&truth) { Ok(()) } else { Err(format!("{sum} is not {truth}").into()) }
}

fn copied() -> Outcome {
    let scratch = Scratch::new()?;
    for generation in 0..2 {
        let image = scratch.path(&format!("{generation}.raw"));
        let which = format!("generation={generation}");
        succeeds(
            &[&path_of(Path::new(DEMO)), &which],
            &format!("nbdcopy \"$uri\" {}", image.display()),
        )?;
        same_as(generation, &image)?;
    }
    Ok(())
}

fn read_by_qemu() -> Outcome {
    let scratch = Scratch::new()?;
    let image = scratch.path("image.raw");
    let convert = format!("qemu-img convert -f raw -O raw \"$uri\" {}", image.display());
    succeeds(&[DEMO, "cache=1M"], &convert)?;
    same_as(1, &image)
}

fn extents() -> Outcome {
    let map: Value = serde_json::from_str(&succeeds(
        &[&path_of(Path::new(DEMO))],
        "nbdinfo --map --json \"$uri\"",
    )?)?;
    let runs = map.as_array().ok_or("no list")?;
    let kinds: Vec<_> = runs.iter().filter_map(|r| r["description"].as_str()).collect();
    assert!(kinds.contains(&"data") && kinds.contains(&"hole,zero"), "{kinds:?}");
    let covered: u64 = runs.iter().filter_map(|r| r["length"].as_u64()).sum();
    let size: u64 =
        succeeds(&[&path_of(Path::new(DEMO))], "nbdinfo --size \"$uri\"")?.trim().parse()?;
    assert_eq!(covered, size);
    Ok(())
}

/// Some chunks of a member are damaged: the rest of the volume is read, and nothing wrong is.
fn damage() -> Outcome {
    let scratch = Scratch::new()?;
    let whole = scratch.path("whole.raw");
    succeeds(&[DEMO, "generation=0"], &format!("nbdcopy \"$uri\" {}", whole.display()))?;
    let truth = fs::read(&whole)?;
    let set = scratch.path("set");
    scratch::make_dir(&set)?;
    for file in fs::read_dir(Path::new(DEMO).join("dsnap-demo-0"))? {
        let file = file?;
        fs::copy(file.path(), set.join(file.file_name()))?;
    }
    let victim = set.join("1-vol-demo-b.snap");
    // Somewhere in the middle third there is a chunk.
    let len = fs::metadata(&victim)?.len();
    let file = fs::File::options().read(true).write(true).open(&victim)?;
    for at in (len / 3..2 * len / 3).step_by(997) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at)?;
        file.write_all_at(&[!byte[0]], at)?;
    }
    // Each piece is read by itself; those that fail are said.
    // The module is for the system's own Python.
    let script = "PATH=/usr/bin:/bin nbdsh -u \"$uri\" -c '
size = h.get_size()
for at in range(0, size, 65536):
    n = min(65536, size - at)
    try:
        b = h.pread(n, at)
    except nbd.Error as e:
        print(at, \"EIO\" if e.errno == \"EIO\" else e.errno)
        continue
    import hashlib
    print(at, hashlib.sha256(b).hexdigest())
'";
    let text = succeeds(&[&path_of(&set)], script)?;
    let (mut bad, mut good) = (0, 0);
    for line in text.lines() {
        let (at, what) = line.split_once(' ').ok_or("no such line")?;
        let at: usize = at.parse()?;
        if what == "EIO" {
            bad += 1;
        } else {
            let end = truth.len().min(at + 65536);
            let piece = scratch.path("piece");
            fs::write(&piece, &truth[at..end])?;
            assert!(tool::run("sha256sum", [&piece])?.starts_with(what), "wrong bytes at {at}");
            good += 1;
        }
    }
    assert!(bad > 0 && good > bad, "{bad} failed, {good} did not");
    Ok(())
}

/// It is refused with these words.
fn says(parameters: &[&str], words: &str) -> Outcome {
    let output = serve(parameters, "true")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains(words), "{text}");
    Ok(())
}

/// Dumps of EBS snapshots with a logical volume striped over them.
fn backup() -> Outcome {
    let scratch = Scratch::new()?;
    let (dumps, tar) = (scratch.path("dumps"), scratch.path("snapshots.tar"));
    scratch::make_dir(&dumps)?;
    let packed = Path::new(DUMPS);
    fs::copy(packed.join("describe-snapshots.json"), dumps.join("describe-snapshots.json"))?;
    let from = packed.join("snapshots.tar.zst");
    tool::run("zstd", [Path::new("-dq"), Path::new("--long=27"), &from, Path::new("-o"), &tar])?;
    tool::run("tar", [Path::new("-xf"), &tar, Path::new("-C"), &dumps])?;
    let manifest: Value = serde_json::from_slice(&fs::read(packed.join("manifest.json"))?)?;
    let all = manifest["expected"].as_array().ok_or("a list")?;
    let truth = |name: &str| -> Outcome<String> {
        let one = all.iter().find(|one| one["name"] == name).ok_or("no such volume")?;
        Ok(one["sha256"].as_str().ok_or("no digest")?.to_owned())
    };
    let path = path_of(&dumps);
    for (parameters, name) in [
        (&["generation=0"][..], "gen0/datafy_vg/datafy_lv"),
        (&["generation=1", "lv=datafy_vg/datafy_lv"][..], "gen1/datafy_vg/datafy_lv"),
    ] {
        let parameters = [&[path.as_str()][..], parameters].concat();
        let sum = succeeds(&parameters, "nbdcopy \"$uri\" - | sha256sum")?;
        assert!(sum.starts_with(&truth(name)?), "{name}: {sum}");
    }
    says(&[&path, "lv=datafy_vg/nothing"], "logical volume datafy_vg/datafy_lv")?;
    says(&[&path, "lv=datafy_vg"], "VG/LV is expected")?;
    says(&[&path, "generation=9"], "no snapshot set")
}

fn refused() -> Outcome {
    says(&[], "path=PATH is missing")?;
    says(&[DEMO, "generation=many"], "generation=many")?;
    says(&[DEMO, "generation=9"], "no snapshot set")?;
    says(&[DEMO, "colour=red"], "colour is not a parameter")?;
    says(&[DEMO, "expect-content-id=0123456789"], "16 to 64 hexadecimal digits")?;
    says(&[DEMO, "expect-content-id=0123456789abcdef"], "content id")
}

/// In the background, as services run: the threads that read are those of the process that serves.
fn in_the_background() -> Outcome {
    let scratch = Scratch::new()?;
    let (socket, pid_file, image) =
        (scratch.path("socket"), scratch.path("pid"), scratch.path("image"));
    let nbdkit = tool::find("nbdkit").ok_or("no nbdkit")?;
    let mut call = Command::new(nbdkit);
    call.arg("-U").arg(&socket).arg("-P").arg(&pid_file).arg(plugin()?);
    // It leaves the directory that it was started in.
    let (above, name) = DEMO.rsplit_once('/').ok_or("no directory")?;
    call.current_dir(above).args([name, "cache=1M"]);
    // What it says before it forks; the process in the background has no such pipe.
    let output = call.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    // Both are there before the process in front ends, but for the number in the file.
    let begun = Instant::now();
    let pid = loop {
        let text = fs::read_to_string(&pid_file).unwrap_or_default();
        match text.trim_end().parse() {
            Ok(pid) if text.ends_with('\n') && socket.exists() => break pid,
            _ => assert!(begun.elapsed() < PATIENCE, "no process in the background: {text:?}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let uri = format!("nbd+unix:///?socket={}", socket.display());
    let copied = tool::run("nbdcopy", [Path::new(&uri), &image]);
    let pid = rustix::process::Pid::from_raw(pid).ok_or("no process")?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    copied?;
    same_as(1, &image)
}
