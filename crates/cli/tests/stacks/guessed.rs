//! Orders and stripe sizes that nothing tells any more.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::needs::{Need, trial};
use crate::support::run::Call;
use crate::support::scratch::{Scratch, make_dir, new_sparse, read, write};
use crate::support::{Outcome, ensure, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let tools = [Need::Tool("mke2fs")];
    let with_ntfs = [Need::Tool("mkntfs"), Need::Tool("ntfscp")];
    vec![
        trial("order_and_stripe_of_an_ext4", &tools, ext4),
        trial("order_and_stripe_of_an_xfs", &[Need::Tool("mkfs.xfs")], xfs),
        trial("order_and_stripe_of_a_btrfs", &[Need::Tool("mkfs.btrfs")], btrfs),
        trial("order_and_stripe_of_an_ntfs", &with_ntfs, ntfs),
        trial("nothing_is_guessed_of_nothing", &[], nothing),
    ]
}

/// Members by their names, in the order in which an image is striped over them.
fn striped(
    scratch: &Scratch,
    image: &[u8],
    stripe: usize,
    names: &[&str],
) -> Outcome<Vec<PathBuf>> {
    let count = names.len();
    let rows = image.len().div_ceil(stripe * count);
    let paths: Vec<PathBuf> = names.iter().map(|name| scratch.path(name)).collect();
    for (n, path) in paths.iter().enumerate() {
        let own: Vec<&[u8]> = image.chunks(stripe).skip(n).step_by(count).collect();
        let mut member = own.concat();
        member.resize(rows * stripe, 0);
        write(path, &member)?;
    }
    Ok(paths)
}

/// What is guessed of members that are given in the order of their names.
fn guessed(paths: &[PathBuf]) -> Outcome<Value> {
    let mut given = paths.to_vec();
    given.sort();
    Call::new("guess-layout").args(&given).json()
}

/// Stripes an image over members and looks whether that comes first, and is sure.
fn is_found(
    scratch: &Scratch,
    image: &[u8],
    stripe: usize,
    names: &[&str],
) -> Outcome<Vec<PathBuf>> {
    let paths = striped(scratch, image, stripe, names)?;
    let guesses = guessed(&paths)?;
    let best = &guesses["guesses"][0];
    ensure!(best["sureness"] == "sure", "{guesses}");
    ensure!(best["order"] == serde_json::json!(names), "{guesses}");
    ensure!(best["stripe"] == stripe && best["kind"] == "striped", "{guesses}");
    ensure!(best["found"] == best["checked"], "{guesses}");
    ensure!(guesses["guesses"][1]["sureness"] != "sure", "{guesses}");
    Ok(paths)
}

/// Directories with a file each.
fn tree(scratch: &Scratch, count: u8) -> Outcome<PathBuf> {
    let tree = scratch.dir("tree")?;
    for n in 0..count {
        let dir = tree.join(format!("directory-{n}"));
        make_dir(&dir)?;
        write(&dir.join("file"), &vec![n; 30_000])?;
    }
    Ok(tree)
}

fn ext4() -> Outcome {
    let scratch = Scratch::new()?;
    let (image, tree) = (scratch.path("image"), tree(&scratch, 200)?);
    new_sparse(&image, 192 << 20)?;
    let args = ["-q", "-t", "ext4", "-d"].map(OsStr::new);
    tool::run("mke2fs", args.into_iter().chain([tree.as_os_str(), image.as_os_str()]))?;
    let bytes = read(&image)?;
    let mut given = is_found(&scratch, &bytes, 64 << 10, &["c", "a", "b"])?;
    given.sort();

    // What it prints is what --layout takes.
    let text = Call::new("guess-layout").args(&given).succeeds()?;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    let start = text.find("version = 1").ok_or_else(|| text.clone())?;
    let (layout, target) = (scratch.path("layout.toml"), scratch.path("target"));
    write(&layout, &text.as_bytes()[start..])?;
    let call = Call::new("restore").args(&given).option("--layout", &layout);
    call.option("-o", &target).succeeds()?;
    let (found, size) = (read(&target)?, bytes.len());
    ensure!(found.len() >= size && found[..size] == bytes, "another image");
    Ok(())
}

fn xfs() -> Outcome {
    let scratch = Scratch::new()?;
    let (image, file) = (scratch.path("image"), scratch.path("file"));
    write(&file, &vec![7; 30_000])?;
    // Without mounting: `mkfs.xfs(8)`, "Prototype File".
    let files =
        |n: u32| format!("d{n} d--755 0 0\nf ---644 0 0 {}\ng ---644 0 0 {0}\n$\n", file.display());
    let list: String = (0..200).map(files).collect();
    let prototype = scratch.path("prototype");
    write(&prototype, format!("/dev/null\n0 0\nd--755 0 0\n{list}$\n").as_bytes())?;
    new_sparse(&image, 320 << 20)?;
    tool::run("mkfs.xfs", [Path::new("-q"), Path::new("-p"), &prototype, &image])?;
    let bytes = read(&image)?;
    is_found(&scratch, &bytes, 64 << 10, &["b", "a"])?;
    is_found(&scratch, &bytes, 16 << 10, &["a", "b"])?;
    is_found(&scratch, &bytes, 128 << 10, &["c", "a", "b"])?;
    is_found(&scratch, &bytes, 64 << 10, &["d", "b", "a", "c"])?;

    // Of more than eight members not all orders are tried.
    let many = ["f", "c", "a", "l", "b", "g", "k", "d", "e", "i", "j", "h"];
    is_found(&scratch, &bytes, 16 << 10, &many)?;

    // All that an empty one has fits stripes of other sizes as well where they are long, which is said.
    new_sparse(&image, 320 << 20)?;
    tool::run("mkfs.xfs", [Path::new("-q"), Path::new("-f"), &image])?;
    let paths = striped(&scratch, &read(&image)?, 1 << 20, &["b", "a"])?;
    let guesses = guessed(&paths)?;
    let best = &guesses["guesses"][0];
    ensure!(best["sureness"] == "possible" && best["order"][0] == "b", "{guesses}");
    Ok(())
}

fn btrfs() -> Outcome {
    let scratch = Scratch::new()?;
    let (image, tree) = (scratch.path("image"), tree(&scratch, 200)?);
    new_sparse(&image, 160 << 20)?;
    tool::run("mkfs.btrfs", [Path::new("-q"), Path::new("--rootdir"), &tree, &image])?;
    let bytes = read(&image)?;
    // The superblock is not on the first member where stripes are short.
    is_found(&scratch, &bytes, 64 << 10, &["b", "a"])?;
    is_found(&scratch, &bytes, 16 << 10, &["a", "b"])?;
    is_found(&scratch, &bytes, 128 << 10, &["c", "a", "b"])?;
    is_found(&scratch, &bytes, 64 << 10, &["d", "b", "a", "c"])?;
    Ok(())
}

fn ntfs() -> Outcome {
    let scratch = Scratch::new()?;
    let (image, file) = (scratch.path("image"), scratch.path("file"));
    write(&file, &[7; 3000])?;
    new_sparse(&image, 64 << 20)?;
    tool::run("mkntfs", [Path::new("-q"), Path::new("-F"), Path::new("-Q"), &image])?;
    for n in 0..60 {
        let name = format!("file-{n}");
        tool::run("ntfscp", [Path::new("-q"), &image, &file, Path::new(&name)])?;
    }
    let bytes = read(&image)?;
    is_found(&scratch, &bytes, 64 << 10, &["b", "a"])?;
    is_found(&scratch, &bytes, 16 << 10, &["a", "b"])?;
    is_found(&scratch, &bytes, 32 << 10, &["c", "a", "b"])?;
    is_found(&scratch, &bytes, 16 << 10, &["d", "b", "a", "c"])?;

    // Its file table is on one member where stripes are long.
    let paths = striped(&scratch, &bytes, 1 << 20, &["b", "a"])?;
    let guesses = guessed(&paths)?;
    let best = &guesses["guesses"][0];
    ensure!(best["sureness"] == "possible" && best["order"][0] == "b", "{guesses}");
    Ok(())
}

fn nothing() -> Outcome {
    let scratch = Scratch::new()?;
    let (a, b) = (scratch.path("a"), scratch.path("b"));
    write(&a, &[0; 8192])?;
    write(&b, &[7; 8192])?;
    Call::new("guess-layout").args([&a, &b]).exits(4)?;
    Call::new("guess-layout").args([&a; 17]).exits(2)?;
    Call::new("guess-layout").exits(2)?;
    Ok(())
}
