//! Mounts in other mount namespaces keep a volume from being detached and are named, unless they go with it; what
//! cannot be detached stays whole.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};

use crate::scene::{is_empty, mount_line};
use crate::support::attachment::{ATTACH, Attachment, attach, until};
use crate::support::image::Filesystem;
use crate::support::needs::{Need, trial};
use crate::support::run::Call;
use crate::support::scratch::{self, Scratch};
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let mut needs = ATTACH.to_vec();
    needs.extend(Filesystem::Ext4.needs());
    needs.push(Need::Tool("unshare"));
    vec![
        trial("a_mount_in_another_namespace_is_named", &needs, elsewhere),
        trial("a_mount_that_goes_by_itself_is_in_nobodys_way", &needs, follows),
        trial("a_namespace_without_processes_leaves_all_as_it_was", &needs, unseen),
        trial("mounts_of_parts_and_in_parts_are_named", &needs, within),
        trial("a_server_that_does_not_answer_keeps_its_mount", &needs, stopped),
        trial("what_can_be_detached_is_whatever_else_is_named", &ATTACH, several),
    ]
}

/// A small ext4 with a file, mounted.
struct Scene {
    attachment: Attachment,
    at: std::path::PathBuf,
    tree: std::path::PathBuf,
    scratch: Scratch,
}

impl Scene {
    fn new() -> Outcome<Self> {
        Self::below(|_| Ok(()))
    }

    fn below(prepare: impl FnOnce(&Path) -> Outcome) -> Outcome<Self> {
        let scratch = Scratch::new()?;
        let tree = scratch.dir("tree")?;
        scratch::write(&tree.join("file"), b"content")?;
        scratch::make_dir(&tree.join("directory"))?;
        let image = scratch.path("image");
        Filesystem::Ext4.make(&image, 8 << 20, &tree, &scratch.path("unused"))?;
        let base = scratch.dir("base")?;
        prepare(&base)?;
        let at = base.join("at");
        scratch::make_dir(&at)?;
        let attachment = Attachment::by(|name| attach(&image, name).option("--mount", &at))?;
        Ok(Self { attachment, at, tree, scratch })
    }

    /// Detaching is refused with these words, and nothing is different after that.
    fn refuses(&self, code: i32, mentions: &str) -> Outcome {
        let ran = self.attachment.detach().exits(code)?;
        ensure!(ran.stderr.contains(mentions), "{mentions} is not named: {}", ran.describe());
        self.is_whole()
    }

    fn is_whole(&self) -> Outcome {
        ensure!(mount_line(&self.at)?.is_some(), "not mounted any more");
        tool::same_tree(&self.at, &self.tree)?;
        ensure!(self.attachment.listed()?["server"] == "serving", "not serving any more");
        Ok(())
    }

    fn detaches(self) -> Outcome {
        self.attachment.detach_cleanly()?;
        ensure!(is_empty(&self.at)?, "something is left at {}", self.at.display());
        Ok(())
    }
}

/// Takes the mounts of other tests out of a new namespace; its arguments are the scene's directory and name.
const OWN_MOUNTS_ONLY: &str = r#"awk '/snaprestore/ { print $5 }' /proc/self/mountinfo |
    grep -vF -e "$0" -e "$1" | xargs -r -n 1 umount -l 2> /dev/null"#;

/// A mount namespace with a process that does nothing in it. Mounts of other tests are not kept by it.
struct Namespace(Child);

impl Namespace {
    fn new(propagation: &str, scene: &Scene) -> Outcome<Self> {
        let script = format!("{OWN_MOUNTS_ONLY}; cd /; echo ready; exec sleep 1000");
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", propagation, "sh", "-c", &script]);
        command.arg(scene.scratch.root()).arg(&scene.attachment.name);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut ready = [0; 6];
        let stdout = child.stdout.take();
        let namespace = Self(child);
        std::io::Read::read_exact(&mut stdout.ok_or("no output")?, &mut ready)?;
        Ok(namespace)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn elsewhere() -> Outcome {
    let scene = Scene::new()?;
    let namespace = Namespace::new("private", &scene)?;
    let at = scene.at.display();
    scene.refuses(
        5,
        &format!("mounted at {at} in the mount namespace of process {}", namespace.pid()),
    )?;
    drop(namespace);
    scene.detaches()
}

fn follows() -> Outcome {
    let scene = Scene::below(|base| {
        tool::run("mount", [Path::new("--bind"), base, base])?;
        tool::run("mount", [Path::new("--make-shared"), base]).map(drop)
    })?;
    let base = scene.at.parent().ok_or("no parent")?.to_owned();
    // Two that follow, one of them at second hand.
    let first = Namespace::new("slave", &scene)?;
    let pid = first.pid().to_string();
    let enter = ["-t", &pid, "-m", "mount", "--make-shared"].map(Path::new);
    tool::run("nsenter", enter.into_iter().chain([base.as_path()]))?;
    let script = format!("exec nsenter -t {pid} -m unshare -m --propagation slave sleep 1000");
    let second = Namespace(Command::new("sh").args(["-c", &script]).spawn()?);
    let table = format!("/proc/{}/mountinfo", second.pid());
    let at = scene.at.display().to_string();
    until("it is mounted in the second", || {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", second.pid()))?;
        Ok(name == "sleep\n" && std::fs::read_to_string(&table)?.contains(&at))
    })?;
    scene.detaches()?;
    ensure!(!std::fs::read_to_string(&table)?.contains(&at), "still mounted");
    drop((first, second));
    tool::run("umount", [base]).map(drop)
}

fn unseen() -> Outcome {
    let scene = Scene::new()?;
    // An open file keeps the namespace when its last process has ended.
    let namespace = Namespace::new("private", &scene)?;
    let kept = std::fs::File::open(format!("/proc/{}/ns/mnt", namespace.pid()))?;
    drop(namespace);
    scene.refuses(5, "cannot be seen")?;
    drop(kept);
    scene.detaches()
}

fn within() -> Outcome {
    let scene = Scene::new()?;
    let other = scene.scratch.dir("other")?;
    let directory = scene.at.join("directory");
    tool::run("mount", [Path::new("--bind"), &directory, &other])?;
    let refused = scene.refuses(5, &format!("mounted at {}", other.display()));
    // Whoever is there is named, under whatever name the place has.
    let mut child = Command::new("sleep").arg("1000").current_dir(&other).spawn()?;
    let named = scene.refuses(5, &format!("process {} (sleep)", child.id()));
    child.kill()?;
    child.wait()?;
    tool::run("umount", [&other])?;
    refused.and(named)?;
    let words = ["-t", "tmpfs", "none"].map(Path::new);
    tool::run("mount", words.into_iter().chain([directory.as_path()]))?;
    let refused = scene.attachment.detach().exits(5);
    let mounted = mount_line(&scene.at)?.is_some();
    tool::run("umount", [&directory])?;
    let named = format!("mounted at {}", directory.display());
    ensure!(mounted && refused?.stderr.contains(&named), "{named} is not named");
    scene.detaches()
}

fn stopped() -> Outcome {
    let scene = Scene::new()?;
    let raw = i32::try_from(scene.attachment.pid()?).ok().and_then(Pid::from_raw);
    let pid = raw.ok_or("no pid")?;
    kill_process(pid, Signal::STOP)?;
    let refused = scene.attachment.detach().exits(1);
    let line = mount_line(&scene.at);
    kill_process(pid, Signal::CONT)?;
    let ran = refused?;
    ensure!(ran.stderr.contains("does not answer"), "{}", ran.describe());
    ensure!(line?.is_some(), "not mounted any more");
    scene.is_whole()?;
    scene.detaches()
}

/// The worst of what happened is the code of the run.
fn several() -> Outcome {
    let stage = Stage::new()?;
    let (held, free, last) =
        (Attachment::of(&stage.sets)?, Attachment::of(&stage.sets)?, Attachment::of(&stage.sets)?);
    let file = std::fs::File::open(held.file()?)?;
    let ran = Call::new("detach").arg(&held.name).arg(&free.name).exits(5)?;
    ensure!(ran.stderr.contains("in use"), "{}", ran.describe());
    free.is_gone()?;
    let call = Call::new("detach").arg("no-such-name").arg(&held.name).arg(&last.name);
    let ran = call.exits(2)?;
    for mentions in ["no-such-name is not attached", "in use"] {
        ensure!(ran.stderr.contains(mentions), "no {mentions}: {}", ran.describe());
    }
    last.is_gone()?;
    ensure!(held.listed()?["server"] == "serving", "not serving any more");
    drop(file);
    held.detach_cleanly()
}
