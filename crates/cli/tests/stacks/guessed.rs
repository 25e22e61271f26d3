//! Orders and stripe sizes that nothing tells any more.

use libtest_mimic::Trial;

use crate::support::needs::{Need, trial};
use crate::support::run::Call;
use crate::support::scratch::{Scratch, make_dir, new_sparse, read, write};
use crate::support::{Outcome, ensure, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let tools = [Need::Tool("mke2fs")];
    vec![
        trial("order_and_stripe_of_an_ext4", &tools, ext4),
        trial("nothing_is_guessed_of_nothing", &[], nothing),
    ]
}

fn ext4() -> Outcome {
    let scratch = Scratch::new()?;
    let (image, tree) = (scratch.path("image"), scratch.dir("tree")?);
    for n in 0..200 {
        let dir = tree.join(format!("directory-{n}"));
        make_dir(&dir)?;
        write(&dir.join("file"), &vec![n; 30_000])?;
    }
    new_sparse(&image, 192 << 20)?;
    let args = ["-q", "-t", "ext4", "-d"].map(std::ffi::OsStr::new);
    tool::run("mke2fs", args.into_iter().chain([tree.as_os_str(), image.as_os_str()]))?;
    let bytes = read(&image)?;
    let mut members = vec![Vec::new(); 3];
    for (n, stripe) in bytes.chunks(64 << 10).enumerate() {
        members[n % 3].extend_from_slice(stripe);
    }
    let paths = ["c", "a", "b"].map(|name| scratch.path(name));
    for (path, member) in paths.iter().zip(&members) {
        write(path, member)?;
    }
    let mut given = paths.clone();
    given.sort();
    let guesses = Call::new("guess-layout").args(&given).json()?;
    let best = &guesses["guesses"][0];
    ensure!(best["sureness"] == "sure", "{guesses}");
    ensure!(best["order"] == serde_json::json!(["c", "a", "b"]), "{guesses}");
    ensure!(best["stripe"] == 64 << 10 && best["kind"] == "striped", "{guesses}");
    ensure!(best["found"] == best["checked"], "{guesses}");

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

fn nothing() -> Outcome {
    let scratch = Scratch::new()?;
    let (a, b) = (scratch.path("a"), scratch.path("b"));
    write(&a, &[0; 8192])?;
    write(&b, &[7; 8192])?;
    Call::new("guess-layout").args([&a, &b]).exits(4)?;
    Call::new("guess-layout").args([&a; 9]).exits(2)?;
    Call::new("guess-layout").exits(2)?;
    Ok(())
}
