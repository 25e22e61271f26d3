//! The files of a set, the texts beside them and what else is read: never replaced, whatever they are called.

use std::path::Path;

use libtest_mimic::Trial;

use crate::support::hash::Census;
use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::scratch::{make_dir, set_len, write};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("files_of_a_set_are_not_replaced", &[], of_a_set),
        trial("files_of_a_dump_are_not_replaced", &[], of_a_dump),
        trial("no_file_is_two_at_once", &[], two_at_once),
    ]
}

/// Every option that names a file to write refuses `path`, and leaves everything as it is.
fn is_kept(stage: &Stage, source: &Path, path: &Path) -> Outcome {
    let restore = || Call::new("restore").arg(source).arg("--force");
    let to_image = || restore().option("-o", stage.target());
    let calls = [
        restore().option("-o", path),
        to_image().option("--report", path),
        to_image().arg("--salvage").option("--map", path),
    ];
    for call in calls {
        let before = Census::take(&[source, &stage.out])?;
        let ran = call.exits(5)?;
        ensure!(ran.stderr.contains("is one of the sources given"), "{}", ran.describe());
        before.unchanged(&ran.describe())?;
    }
    Ok(())
}

fn of_a_set() -> Outcome {
    let stage = Stage::new()?;
    let file = stage.file("vol-a")?;
    for (n, name) in ["layout.toml", "README.txt"].into_iter().enumerate() {
        let path = file.with_file_name(name);
        let linked = stage.out.join(format!("linked-{n}"));
        std::fs::hard_link(&path, &linked)?;
        for path in [path, linked] {
            is_kept(&stage, &stage.sets, &path)?;
            let journal = stage.restore().option("--journal", &path);
            stage.refuses(journal, 5, &["is one of the sources given"])?;
            let in_place = Call::new("restore").arg(&stage.sets).option("-o", &path);
            stage.refuses(in_place.arg("--in-place"), 5, &[])?;
        }
    }
    let linked = stage.out.join("linked");
    std::fs::hard_link(&file, &linked)?;
    is_kept(&stage, &stage.sets, &file)?;
    is_kept(&stage, &stage.sets, &linked)
}

/// Blocks of a dump may be very many, and none of them is opened before it is needed.
fn of_a_dump() -> Outcome {
    let stage = Stage::new()?;
    let dump = stage.scratch.path("snap-0123456789abcdef0");
    make_dir(&dump)?;
    let block = dump.join("0.bin");
    write(&block, b"")?;
    set_len(&block, 512 << 10)?;
    let list = serde_json::json!({
        "Blocks": [{ "BlockIndex": 0, "BlockToken": "t" }],
        "BlockSize": 512 << 10,
        "VolumeSize": 1,
    });
    write(&dump.join("snap-0123456789abcdef0.json"), list.to_string().as_bytes())?;
    let linked = stage.out.join("linked");
    std::fs::hard_link(&block, &linked)?;
    is_kept(&stage, &dump, &block)?;
    is_kept(&stage, &dump, &linked)
}

/// The image, its map and report, the journal, and what lies beside the image until it is whole.
fn two_at_once() -> Outcome {
    let stage = Stage::new()?;
    let [partial, journal, other] =
        [".volume.img.partial", ".volume.img.journal", "other"].map(|name| stage.out.join(name));
    let target = stage.target();
    let salvage = || stage.restore().arg("--salvage");
    for call in [
        stage.restore().option("--journal", &target),
        stage.restore().option("--journal", &partial),
        stage.restore().option("--report", &partial),
        stage.restore().option("--report", &journal),
        stage.restore().option("--report", &other).option("--journal", &other),
        salvage().option("--map", &partial),
        salvage().option("--map", &journal),
        salvage().option("--map", &other).option("--journal", &other),
    ] {
        stage.refuses(call, 2, &["two files at once"])?;
    }
    // The journal where it would be anyway.
    stage.restore().option("--journal", &journal).succeeds()?;
    Ok(())
}
