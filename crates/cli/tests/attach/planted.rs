//! Directories for attached volumes that somebody else has made, or can change, are refused untouched.

use libtest_mimic::Trial;

use crate::support::attachment::ATTACH;
use crate::support::needs::{Need, trial};
use crate::support::run::BINARY;
use crate::support::stage::Stage;
use crate::support::{Outcome, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let mut needs = ATTACH.to_vec();
    needs.push(Need::Tool("unshare"));
    vec![
        trial("a_home_that_others_can_have_made_is_refused", &needs, || in_a_run_of_its_own(HOMES)),
        trial("a_place_that_others_can_have_made_is_refused", &needs, || {
            in_a_run_of_its_own(PLACES)
        }),
        trial("leftovers_of_local_copies_that_are_not_ones_own_are_refused", &needs, || {
            in_a_run_of_its_own(LEFTOVERS)
        }),
        trial("an_overlay_that_others_can_have_written_is_refused", &needs, || {
            in_a_run_of_its_own(OVERLAYS)
        }),
        trial("directories_to_mount_at_are_reached_by_no_link_of_another_user", &needs, || {
            in_a_run_of_its_own(MOUNTS)
        }),
        trial("a_home_is_made_where_others_make_theirs", &needs, || in_a_run_of_its_own(STICKY)),
    ]
}

/// What the scripts have in common. The first argument is the directory of the set.
const COMMON: &str = r#"
    set -eu
    sets=$1
    home=/run/snaprestore
    fresh() { mount -t tmpfs -o mode="$1" none /run; }
    all() { ls -lnRa --time-style=full-iso /run; }
    refuses() {
        what=$1; shift; code=0
        before=$(all)
        "$@" > /tmp/said.$$ 2>&1 || code=$?
        said=$(cat /tmp/said.$$); rm /tmp/said.$$
        test $code = 5 || { echo "$what: $* exits $code: $said"; exit 1; }
        case $said in *"$what"*) ;; *) echo "$what: $* says $said"; exit 1;; esac
        test "$before" = "$(all)" || { echo "$what: $* has changed something"; all; exit 1; }
    }
"#;

const HOMES: &str = r#"
    home_refused() {
        refuses "$1" "$0" attach "$sets" --name one
        refuses "$1" "$0" attached
        refuses "$1" "$0" detach one
        refuses "$1" "$0" detach --all
    }
    mine() { mkdir -m 700 $home $home/one; echo '{}' > $home/one/state.json; }
    fresh 755; mine; chown 65534 $home; home_refused "belongs to user 65534"
    fresh 1777; mine; chown 65534 $home; home_refused "belongs to user 65534"
    fresh 755; mine; mv $home /run/x; ln -s x $home; home_refused "is a link, to x"
    fresh 755; ln -s /run/nowhere $home; home_refused "is a link, to /run/nowhere"
    fresh 755; touch $home; home_refused "is not a directory"
    fresh 755; mine; chmod 770 $home; home_refused "is open to others (mode 0770)"
    fresh 755; mine; chmod 1777 $home; home_refused "is open to others (mode 1777)"
    fresh 777; mine; home_refused "/run: is open to others (mode 0777)"
    fresh 700; mine; chown 65534 /run; home_refused "/run: belongs to user 65534"
"#;

const PLACES: &str = r#"
    place() { fresh 755; mkdir -m 700 $home; }
    place; mkdir $home/one; chown 65534 $home/one
    refuses "belongs to user 65534" "$0" attach "$sets" --name one
    place; mkdir /run/x; ln -s /run/x $home/one
    refuses "is a link, to /run/x" "$0" attach "$sets" --name one
    refuses "is a link, to /run/x" "$0" detach one
    place; mkdir $home/one; chmod 777 $home/one
    refuses "is open to others (mode 0777)" "$0" attach "$sets" --name one
    # What is another's keeps nobody from the other names.
    "$0" attach "$sets" --name two > /dev/null
    "$0" detach two > /dev/null
"#;

const LEFTOVERS: &str = r#"
    own() { fresh 755; mkdir /run/own; echo victim > /run/victim; chmod 600 /run/victim; }
    hydrate() { refuses "/run/own/$left" "$0" attach "$sets" --name one --hydrate /run/own/copy; }
    for left in .copy.partial .copy.journal; do
        own; ln -s /run/victim /run/own/$left; hydrate
        own; ln /run/victim /run/own/$left; hydrate
        own; mkfifo -m 600 /run/own/$left; hydrate
        own; mv /run/victim /run/own/$left; chown 65534 /run/own/$left; hydrate
        own; mv /run/victim /run/own/$left; chmod 666 /run/own/$left; hydrate
    done
"#;

const OVERLAYS: &str = r#"
    fresh 755; mkdir /run/own; chown 65534 /run/own
    over=/run/own/over
    restore() { "$0" restore -q "$sets" --overlay $over -o /run/$1 > /run/said; }
    "$0" attach "$sets" --name one --overlay $over > /dev/null
    "$0" detach one > /dev/null
    restore first
    all_ways() {
        refuses "$1" "$0" attach "$sets" --name one --overlay $over
        refuses "$1" "$0" attach "$sets" --name one --overlay $over --reset-overlay
        refuses "$1" "$0" restore "$sets" --overlay $over -o /run/image
    }
    chown 65534 $over; all_ways "belongs to user 65534"
    chown 0 $over; chmod 606 $over; all_ways "is open to others (mode 0606)"
    chmod 620 $over; all_ways "is open to others (mode 0620)"
    chmod 600 $over; ln $over /run/own/other; all_ways "has 2 names"
    rm /run/own/other; chmod 644 $over; restore second
    cmp /run/first /run/second
"#;

const MOUNTS: &str = r#"
    fresh 755; mkdir /run/own /run/victim /run/victim/p1
    ln -s /run/victim /run/own/last; ln -s /run /run/own/way
    chown -h 65534 /run/own /run/own/last /run/own/way
    refuses "last is a link of user 65534" "$0" attach "$sets" --name one --mount /run/own/last
    refuses "way is a link of user 65534" "$0" attach "$sets" --name one --mount /run/own/way/victim
    # A link of one's own is followed: that there is nothing to mount is a matter of the volume.
    ln -s /run/victim /run/mine
    code=0; "$0" attach "$sets" --name one --mount /run/mine > /run/said 2>&1 || code=$?
    test $code = 2 || { echo "exits $code"; cat /run/said; exit 1; }
"#;

const STICKY: &str = r#"
    fresh 1777
    "$0" attach "$sets" --name one > /dev/null
    test "$(stat -c %a $home $home/one | tr '\n' ' ')" = "700 700 "
    "$0" detach one > /dev/null
    test ! -e $home
"#;

fn in_a_run_of_its_own(script: &str) -> Outcome {
    let stage = Stage::new()?;
    let script = format!("{COMMON}{script}");
    let said =
        tool::run("unshare", ["-m", "sh", "-c", &script, BINARY, &stage.sets.to_string_lossy()])?;
    if said.is_empty() { Ok(()) } else { Err(said.into()) }
}
