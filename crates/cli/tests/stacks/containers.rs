//! What holds a disk in a form of its own is no raw copy of it: it is refused by name, by every command
//! that takes raw members, unless it is meant.

use std::path::Path;

use libtest_mimic::Trial;

use crate::support::needs::{LOOP_DEVICE, Need, trial};
use crate::support::noise::noise;
use crate::support::run::Call;
use crate::support::scratch::{Scratch, copy, len, new_sparse, read, write};
use crate::support::{Outcome, ensure, tool};

const QEMU: [Need; 1] = [Need::Tool("qemu-img")];
const TOOLS: [Need; 5] = [
    Need::Tool("gzip"),
    Need::Tool("xz"),
    Need::Tool("zstd"),
    Need::Tool("bzip2"),
    Need::Tool("tar"),
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("images_of_virtual_machines", &QEMU, images),
        trial("compressed_copies_and_archives", &TOOLS, streams),
        trial("what_is_left_of_a_snapshot", &[], remains),
        trial("containers_named_as_snapshots", &[], named_as_snapshots),
        trial("a_directory_with_images_only", &[], only_containers),
        trial("a_device_with_an_image_on_it", &LOOP_DEVICE, device),
        trial("an_empty_or_other_file_among_members", &[], odd_files),
    ]
}

/// A disk with some data on it and nothing that is known at its beginning.
fn disk(scratch: &Scratch) -> Outcome<std::path::PathBuf> {
    let path = scratch.path("disk.raw");
    let mut bytes = noise(3, 256 << 10);
    bytes.resize(4 << 20, 0);
    write(&path, &bytes)?;
    Ok(path)
}

/// Refused by name by every command, and copied byte by byte where that is meant.
fn is_refused(scratch: &Scratch, path: &Path, noun: &str) -> Outcome {
    let out = scratch.path("out");
    let call = |command: &str| match command {
        "capture" | "restore" | "plan" => Call::new(command).option("-o", &out),
        "read" => Call::new(command).option("--length", "512"),
        _ => Call::new(command),
    };
    for command in ["restore", "plan", "capture", "read", "verify", "inspect", "guess-layout"] {
        let ran = call(command).arg(path).exits(2)?;
        ensure!(ran.stderr.contains(noun), "{noun}: {}", ran.describe());
        ensure!(!out.exists(), "{} wrote something", ran.describe());
        if command != "guess-layout" {
            let ran = call(command).member("vol-a", path).exits(2)?;
            ensure!(ran.stderr.contains(noun), "{noun}: {}", ran.describe());
        }
    }
    let inspected = Call::new("inspect").arg(path).exits(2)?;
    ensure!(
        String::from_utf8_lossy(&inspected.stdout).contains("member "),
        "{}",
        inspected.describe()
    );
    call("restore").member("vol-a", path).arg("--raw").succeeds()?;
    ensure!(read(&out)? == read(path)?, "{noun} is another");
    std::fs::remove_file(&out)?;
    Ok(())
}

fn images() -> Outcome {
    let scratch = Scratch::new()?;
    let disk = disk(&scratch)?;
    let cases = [
        ("qcow2", "", "qcow2 image"),
        ("qcow2", "compat=0.10", "qcow2 image"),
        ("qed", "", "QED image"),
        ("vmdk", "", "VMDK image"),
        ("vmdk", "subformat=streamOptimized", "VMDK image"),
        ("vmdk", "subformat=monolithicFlat", "VMDK descriptor"),
        ("vpc", "", "VHD image"),
        ("vpc", "subformat=fixed,force_size", "VHD image"),
        ("vhdx", "", "VHDX image"),
        ("vdi", "", "VDI image"),
        ("parallels", "", "Parallels image"),
    ];
    for (number, (format, options, noun)) in cases.into_iter().enumerate() {
        let image = scratch.path(&format!("{number}.{format}"));
        let call = ["convert", "-f", "raw", "-O", format, "-o", options].map(String::from);
        let call =
            call.into_iter().filter(|arg| !(options.is_empty() && arg == "-o" || arg.is_empty()));
        let paths = [disk.display().to_string(), image.display().to_string()];
        tool::run("qemu-img", call.chain(paths))?;
        is_refused(&scratch, &image, noun)?;
    }
    // The extent that a descriptor names is raw.
    let flat = scratch.path("5-flat.vmdk");
    Call::new("restore").arg(&flat).option("-o", scratch.path("flat.out")).succeeds()?;
    Ok(())
}

fn streams() -> Outcome {
    let scratch = Scratch::new()?;
    let disk = disk(&scratch)?;
    let cases = [
        ("gzip", "gz", "gzip stream"),
        ("xz", "xz", "xz stream"),
        ("zstd", "zst", "zstd stream"),
        ("bzip2", "bz2", "bzip2 stream"),
    ];
    for (program, extension, noun) in cases {
        tool::run(program, ["-kq".as_ref(), disk.as_os_str()])?;
        is_refused(&scratch, &scratch.path(&format!("disk.raw.{extension}")), noun)?;
    }
    for format in ["gnu", "ustar", "posix", "v7"] {
        let archive = scratch.path(&format!("{format}.tar"));
        let format = format!("--format={format}");
        let root = scratch.root().display().to_string();
        let archive_name = archive.display().to_string();
        tool::run("tar", ["-C", &root, &format, "-cf", &archive_name, "disk.raw"])?;
        is_refused(&scratch, &archive, "tar archive")?;
    }
    Ok(())
}

fn remains() -> Outcome {
    let scratch = Scratch::new()?;
    let whole = scratch.path("whole.snap");
    copy(
        Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../testdata/golden/dsnap-child-vol-a.snap"
        )),
        &whole,
    )?;
    let bytes = read(&whole)?;
    let out = scratch.path("out");
    let cases: [(&str, Vec<u8>); 4] = [
        ("headless", bytes[bytes.len() / 3..].to_vec()),
        ("zeroed", [vec![0; 4096], bytes[4096..].to_vec()].concat()),
        ("middle", bytes[bytes.len() / 3..bytes.len() - 100].to_vec()),
        ("whole", bytes.clone()),
    ];
    for (name, bytes) in cases {
        let path = scratch.path(name);
        write(&path, &bytes)?;
        let ran = Call::new("restore").member("vol-a", &path).option("-o", &out).exits(2)?;
        ensure!(ran.stderr.contains("snaprestore snapshot"), "{name}: {}", ran.describe());
    }
    for name in ["headless", "zeroed", "middle"] {
        let ran = Call::new("restore").arg(scratch.path(name)).option("-o", &out).exits(2)?;
        ensure!(ran.stderr.contains("lost its beginning"), "{name}: {}", ran.describe());
    }
    Ok(())
}

/// A container that is named like a snapshot, as such and in a directory.
fn named_as_snapshots() -> Outcome {
    let scratch = Scratch::new()?;
    let dir = scratch.dir("sets")?;
    let file = dir.join("disk.snap");
    let mut bytes = b"vhdxfile".to_vec();
    bytes.resize(1 << 20, 0);
    write(&file, &bytes)?;
    let out = scratch.path("out");
    for path in [&file, &dir] {
        for command in ["restore", "plan", "attach", "read"] {
            let call = Call::new(command).arg(path);
            let call =
                if matches!(command, "restore" | "plan") { call.option("-o", &out) } else { call };
            let ran = call.exits(2)?;
            let names_it = ran.stderr.contains("disk.snap: is not a raw copy (VHDX image)");
            ensure!(names_it, "{}", ran.describe());
        }
    }
    Call::new("restore").arg(&file).arg("--raw").option("-o", &out).succeeds()?;
    ensure!(read(&out)? == bytes, "it is another");
    let listed = Call::new("list").arg(&dir).json_exits(4)?;
    let why = listed["unreadable"][0]["error"].as_str().unwrap_or_default();
    ensure!(why.contains("VHDX image") && why.contains("qemu-img"), "{listed}");
    let ran = Call::new("verify").arg(&dir).exits(2)?;
    ensure!(ran.stderr.contains("VHDX image"), "{}", ran.describe());
    Ok(())
}

/// A directory in which there is nothing but an image of another format.
fn only_containers() -> Outcome {
    let scratch = Scratch::new()?;
    let dir = scratch.dir("images")?;
    let mut bytes = b"vhdxfile".to_vec();
    bytes.resize(1 << 20, 0);
    write(&dir.join("disk.vhdx"), &bytes)?;
    let calls = [
        (Call::new("restore").arg(&dir).option("-o", scratch.path("out")), 6),
        (Call::new("inspect").arg(&dir), 6),
        (Call::new("list").arg(&dir), 0),
    ];
    for (call, code) in calls {
        let ran = call.exits(code)?;
        let says = ["disk.vhdx", "VHDX image", "qemu-img convert"];
        ensure!(says.iter().all(|word| ran.stderr.contains(word)), "{}", ran.describe());
    }
    Ok(())
}

fn device() -> Outcome {
    let scratch = Scratch::new()?;
    let image = scratch.path("device.img");
    new_sparse(&image, 8 << 20)?;
    let mut bytes = read(&image)?;
    bytes[..24].copy_from_slice(b"QFI\xfb\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10");
    write(&image, &bytes)?;
    let device = tool::run("losetup", ["--find", "--show", &image.display().to_string()])?;
    let device = device.trim().to_owned();
    let ran = Call::new("restore").arg(&device).option("-o", scratch.path("out")).exits(2);
    tool::run("losetup", ["--detach", &device])?;
    let ran = ran?;
    ensure!(ran.stderr.contains(&device) && ran.stderr.contains("qcow2"), "{}", ran.describe());
    Ok(())
}

fn odd_files() -> Outcome {
    let scratch = Scratch::new()?;
    let [a, b, c] = ["a.raw", "b.raw", "c.raw"].map(|name| scratch.path(name));
    for path in [&a, &c] {
        new_sparse(path, 1 << 20)?;
    }
    write(&b, &[])?;
    let out = scratch.path("out");
    for linear in [false, true] {
        let call = Call::new("restore").args([&a, &b, &c]).option("-o", &out);
        let ran = if linear { call.arg("--linear") } else { call }.exits(4)?;
        let names_it = ran.stderr.contains("b.raw: is empty (0 bytes)");
        ensure!(names_it && !ran.stderr.contains("a.raw"), "{}", ran.describe());
    }
    write(&b, &[7])?;
    let call = Call::new("restore").args([&a, &b, &c]).arg("--linear").option("-o", &out);
    call.succeeds()?;
    ensure!(len(&out)? == (2 << 20) + 1, "{} bytes", len(&out)?);
    // A snapshot among raw members.
    let snapshot = scratch.path("d.snap");
    write(&snapshot, &[0; 4096])?;
    let ran =
        Call::new("restore").args([&a, &snapshot]).option("-o", scratch.path("x")).exits(2)?;
    let says_both = ["a.raw is a raw member", "d.snap a snapshot file"];
    ensure!(says_both.iter().all(|text| ran.stderr.contains(text)), "{}", ran.describe());
    Ok(())
}
