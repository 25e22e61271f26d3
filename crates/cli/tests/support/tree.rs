//! Real files of the machine as a source tree, and changes to a tree that come out the same wherever
//! the same tree is: once in a plain directory, which is the truth, and once through a mount.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use super::noise::{Noise, noise};
use super::{Outcome, ensure, scratch};

/// Larger files would be most of the budget by themselves.
const LARGEST: u64 = 8 << 20;

/// Copies real files below the machine's own directories into `tree`, up to about `budget` bytes.
pub(crate) fn gather(tree: &Path, budget: u64) -> Outcome {
    scratch::make_dir(tree)?;
    let mut taken = 0;
    let mut choice = Noise::new(1);
    for root in ["/usr/share", "/usr/lib", "/usr/include", "/etc"] {
        // A file may go somewhat beyond it.
        let limit = budget - budget.saturating_sub(taken) / 3;
        gather_from(Path::new(root), tree, &mut taken, limit, &mut choice)?;
    }
    ensure!(taken > 4 << 20, "only {taken} bytes of real files were found on this machine");
    Ok(())
}

fn gather_from(
    from: &Path,
    tree: &Path,
    taken: &mut u64,
    limit: u64,
    choice: &mut Noise,
) -> Outcome {
    for path in sorted_entries(from) {
        if *taken >= limit {
            break;
        }
        let Ok(meta) = fs::symlink_metadata(&path) else {
            continue;
        };
        if meta.is_dir() {
            gather_from(&path, tree, taken, limit, choice)?;
            continue;
        }
        // One in three, so that the budget reaches into many directories.
        if choice.below(3) != 0 || meta.len() > LARGEST {
            continue;
        }
        let to = tree.join(path.strip_prefix("/")?);
        if meta.is_symlink() {
            scratch::make_dir(to.parent().unwrap_or(tree))?;
            symlink(fs::read_link(&path)?, &to)?;
        } else if meta.is_file() && fs::File::open(&path).is_ok() {
            scratch::make_dir(to.parent().unwrap_or(tree))?;
            fs::copy(&path, &to).map_err(|e| format!("copying {}: {e}", path.display()))?;
            *taken += meta.len();
        }
    }
    Ok(())
}

fn sorted_entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    paths
}

/// Deletes, overwrites, truncates and appends to files, removes a directory, and adds a new one.
pub(crate) fn change(root: &Path, seed: u64) -> Outcome {
    let mut choice = Noise::new(seed);
    let files: Vec<PathBuf> = scratch::files_below(root)?
        .into_iter()
        .filter(|path| !path.starts_with(root.join("lost+found")))
        .collect();
    let mut counts = [0; 4];
    for path in &files {
        let what = usize::try_from(choice.below(24))?;
        change_file(path, what, choice.next())?;
        if let Some(count) = counts.get_mut(what) {
            *count += 1;
        }
    }
    ensure!(counts.iter().all(|n| *n > 0), "too few files to change each way: {counts:?}");
    remove_a_directory(root, &mut choice)?;
    add_a_directory(&root.join(format!("added-{seed}")), seed)
}

fn change_file(path: &Path, what: usize, seed: u64) -> Outcome {
    let len = scratch::len(path)?;
    let open = || {
        OpenOptions::new().write(true).open(path).map_err(|e| format!("{}: {e}", path.display()))
    };
    match what {
        0 => fs::remove_file(path)?,
        1 => open()?.write_all_at(&noise(seed, 3000), len / 2)?,
        2 => open()?.set_len(len / 2)?,
        3 => open()?.write_all_at(&noise(seed, 10_000), len)?,
        _ => {}
    }
    Ok(())
}

/// Removes the directory of a file three or more levels down, with all in it.
fn remove_a_directory(root: &Path, choice: &mut Noise) -> Outcome {
    let files: Vec<PathBuf> = scratch::files_below(root)?
        .into_iter()
        .filter(|path| path.strip_prefix(root).is_ok_and(|p| p.components().count() > 4))
        .collect();
    let nth = usize::try_from(choice.below(files.len() as u64))?;
    let dir = files.get(nth).and_then(|path| path.parent()).ok_or("no deep directory to remove")?;
    fs::remove_dir_all(dir).map_err(|e| format!("removing {}: {e}", dir.display()).into())
}

fn add_a_directory(dir: &Path, seed: u64) -> Outcome {
    scratch::make_dir(&dir.join("empty"))?;
    for nth in 0..8_u64 {
        let len = usize::try_from(nth * nth * 9000 + 1)?;
        scratch::write(&dir.join(format!("noise-{nth}")), &noise(seed + nth, len))?;
    }
    let sparse = scratch::set_len(&dir.join("sparse"), 4 << 20)?;
    sparse.write_all_at(&noise(seed, 65_536), 1 << 20)?;
    scratch::write(&dir.join("zeros"), &vec![0; 300_000])?;
    scratch::write(&dir.join("n".repeat(200)), b"a long name")?;
    symlink("noise-1", dir.join("link"))?;
    symlink("nowhere", dir.join("dangling"))?;
    Ok(())
}
