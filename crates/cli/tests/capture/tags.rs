//! Tags: kept as they were given, whatever is in them.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("tags_are_kept_verbatim", &[], kept_verbatim),
        trial("tags_that_every_set_has", &[], set_by_default),
        trial("tags_given_take_the_place_of_defaults", &[], defaults_replaced),
        trial("tags_that_are_none_are_2", &[], refused),
    ]
}

/// The tags of the newest set in `dir`.
fn tags(stage: &Stage) -> Outcome<Value> {
    Ok(Call::new("inspect").arg(&stage.out).json()?["set"]["tags"].clone())
}

fn capture(stage: &Stage) -> Call {
    stage.sample.capture(&stage.out, "dsnap-0c").option("--source-volume", "dvol-tags")
}

fn kept_verbatim() -> Outcome {
    let stage = Stage::new()?;
    let long = "länge ".repeat(700);
    let odd = [
        ("Name", "über = all"),
        ("empty", ""),
        (" spaces around ", "  kept  "),
        ("equals", "a=b=c="),
        ("quotes \"'`", "\\back\\slash \"quoted\""),
        ("lines", "one\ntwo\r\n\tthree"),
        ("escape", "\u{1b}[31mred\u{1b}]0;title\u{7}"),
        ("bidi", "\u{202e}desrever\u{202c}"),
        ("combining e\u{301}", "\u{1f4be}\u{200d}\u{0}".trim_end_matches('\0')),
        ("$(touch /tmp/x) ${HOME}", "; rm -rf / #"),
        ("{\"json\": [1, null]}", "</script>"),
        ("long", &long),
    ];
    let mut call = capture(&stage);
    for (key, value) in odd {
        call = call.option("--tag", format!("{key}={value}"));
    }
    call.succeeds()?;
    let tags = tags(&stage)?;
    for (key, value) in odd {
        ensure!(tags[key] == value, "tag {key:?} should be {value:?}: {tags}");
    }
    let count = tags.as_object().map(serde_json::Map::len);
    ensure!(count == Some(odd.len() + 4), "{count:?} tags: {tags}");
    // They are part of what is sealed, not in the way of it.
    Call::new("verify").arg(&stage.out).succeeds().map(drop)
}

fn set_by_default() -> Outcome {
    let stage = Stage::new()?;
    capture(&stage).succeeds()?;
    let expected = |set: &str, generation: &str| {
        json!({
            "Managed-By": "snaprestore",
            "datafy:source-volume:id": "dvol-tags",
            "datafy:snapshot:id": set,
            "datafy:snapshot:generation-id": generation,
        })
    };
    let found = tags(&stage)?;
    ensure!(found == expected("dsnap-0c", "0"), "{found}");
    // The next generation has its own, and takes over none.
    let call = stage.sample.capture(&stage.out, "dsnap-1c").option("--parent", &stage.out);
    call.option("--generation", "12").succeeds()?;
    let found = tags(&stage)?;
    ensure!(found == expected("dsnap-1c", "12"), "{found}");
    Ok(())
}

fn defaults_replaced() -> Outcome {
    let stage = Stage::new()?;
    let given = json!({
        "Managed-By": "someone else",
        "datafy:source-volume:id": "vol-elsewhere",
        "datafy:snapshot:id": "",
        "datafy:snapshot:generation-id": "a gen",
    });
    let mut call = capture(&stage);
    for (key, value) in given.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        call = call.option("--tag", format!("{key}={value}"));
    }
    call.succeeds()?;
    let report = Call::new("inspect").arg(&stage.out).json()?;
    ensure!(report["set"]["tags"] == given, "{report}");
    // A tag is a label: what the set is does not follow it.
    ensure!(report["set"]["source_volume_id"] == "dvol-tags", "{report}");
    ensure!(report["set"]["generation"] == 0, "{report}");
    Ok(())
}

fn refused() -> Outcome {
    let stage = Stage::new()?;
    for tag in ["no-equals-sign", "=no key", ""] {
        stage.refuses(capture(&stage).option("--tag", tag), 2, &["--tag"])?;
    }
    let twice = capture(&stage).option("--tag", "Name=one").option("--tag", "Name=two");
    stage.refuses(twice, 2, &["Name", "one"])?;
    let too_long = "x".repeat(100 << 10);
    let mut call = capture(&stage);
    for nth in 0..11 {
        call = call.option("--tag", format!("{nth}={too_long}"));
    }
    stage.refuses(call, 2, &["manifest"])
}
