//! Attached volumes as others than their servers see them.

mod holders;
pub(crate) mod leftovers;
pub(crate) mod mounted;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use crate::control::{Ending, NoAnswer, Peer, Status};
use crate::error::{AttachError, DetachError};
use crate::holder::Holder;
use crate::mount::{MountError, Plan};
use crate::place::{Claim, Home, Place};
use crate::state::{MountPoint, State};
use crate::trust::NotUsed;

/// How long a program may look at what it finds.
const LOOK: Duration = Duration::from_secs(1);

/// A volume that is attached, or was until its server died.
#[derive(Debug)]
pub struct Attached {
    place: Place,
    state: Option<State>,
}

/// Whether an attached volume can be read.
#[derive(Debug)]
pub enum Life {
    /// Its server answers.
    Serving(Status),
    /// Its server is there, but does not answer.
    Silent(io::Error),
    /// Its server is dead: detaching clears away what is left.
    Dead,
}

impl Attached {
    /// All of a user, by name.
    pub fn all(home: &Home) -> Result<Vec<Self>, DetachError> {
        let places = home.places().map_err(|e| unusable(home, e))?;
        Ok(places.into_iter().map(Self::at).collect())
    }

    /// What is at a place, which exists. A state that cannot be read is as good as none: all but the mounts
    /// can be found without.
    pub fn at(place: Place) -> Self {
        let state = State::read(&place).unwrap_or_default();
        Self { place, state }
    }

    /// The one with this name, or with this loop device.
    pub fn find(home: &Home, what: &str) -> Result<Self, DetachError> {
        let unknown = || DetachError::Unknown { what: what.to_owned() };
        if let Ok(name) = what.parse() {
            let place = home.place(name);
            let is_there = home.is_there().map_err(|e| unusable(home, e))? && place.exists();
            return if is_there { Ok(Self::at(place)) } else { Err(unknown()) };
        }
        let number = fs::metadata(what).map_err(|_| unknown())?.rdev();
        let all = Self::all(home)?;
        all.into_iter().find(|attached| attached.has_device(number)).ok_or_else(unknown)
    }

    fn has_device(&self, number: u64) -> bool {
        let devices = self.state.iter().flat_map(|state| &state.devices);
        let mut there = devices.filter(|device| device.is_there());
        there.any(|device| fs::metadata(&device.path).is_ok_and(|meta| meta.rdev() == number))
    }

    /// Where it is.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// What its server said of it; `None` if that died before it could.
    pub const fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Whether its server lives, and how it does.
    pub fn life(&self) -> Life {
        match Peer::of(&self.place) {
            Ok(None) => Life::Dead,
            Ok(Some(peer)) => match peer.status() {
                Ok(status) => Life::Serving(status),
                Err(NoAnswer::Dying) => Life::Dead,
                Err(NoAnswer::Silent(error)) => Life::Silent(error),
            },
            Err(error) => Life::Silent(error),
        }
    }

    /// Who uses it. Processes of other users are seen only by root.
    pub fn holders(&self) -> Vec<Holder> {
        holders::all(&self.place, self.state.as_ref())
    }

    /// Mounts filesystems of it. Directories that are not there are made. Where this fails, detaching takes
    /// down what was done until then.
    pub fn mount(&mut self, plans: Vec<Plan>) -> Result<(), MountError> {
        let mounts = plans
            .into_iter()
            .map(|plan| MountPoint { made: plan.at.symlink_metadata().is_err(), plan });
        let mounts: Vec<MountPoint> = mounts.collect();
        if let Some(state) = &mut self.state {
            // Before anything is made or mounted: the process that detaches it must know.
            state.mounts.clone_from(&mounts);
            let written = state.write(&self.place);
            if let Some(first) = mounts.first() {
                written.map_err(|e| first.plan.failed(e))?;
            }
        }
        let directories = mounts.iter().map(|MountPoint { plan, made }| plan.directory(*made));
        let directories: Vec<_> = directories.collect::<Result<_, _>>()?;
        mounts.iter().zip(&directories).try_for_each(|(mount, at)| mount.plan.run(at))
    }

    /// Takes it down: filesystems that were mounted on this program's account, then loop devices, then the
    /// raw file; its server ends, and the directory is gone. While a process uses it nothing is done.
    pub fn detach(self) -> Result<(), DetachError> {
        self.refuse_if_held(self.lasting_holders())?;
        match self.life() {
            Life::Serving(_) => {}
            // To unmount would wait for it.
            Life::Silent(error) => return Err(self.silent(error)),
            Life::Dead => {
                let claim = self.claim_of_the_dead()?;
                return self.clear(claim);
            }
        }
        let mut unmounted = Vec::new();
        let ended = self.unmount(&mut unmounted).and_then(|()| self.end_server());
        if let Err(error @ (DetachError::Busy { .. } | DetachError::System { .. })) = ended {
            // A process came after the look, or cannot be seen: all is as it was before.
            for mount in unmounted.into_iter().rev() {
                leftovers::mount_again(mount);
            }
            return Err(error);
        }
        ended?;
        if !self.place.exists() {
            return Ok(());
        }
        let claim = self.place.claim().map_err(|e| self.not_claimed(e))?;
        leftovers::clear(claim, self.state.as_ref())
    }

    /// Takes down what a dead server left, in a place that is held: no other process is at it.
    pub(super) fn clear_held(self, claim: Claim) -> Result<(), DetachError> {
        self.refuse_if_held(self.lasting_holders())?;
        self.clear(claim)
    }

    fn clear(&self, claim: Claim) -> Result<(), DetachError> {
        leftovers::give_up(&self.place);
        self.unmount(&mut Vec::new())?;
        leftovers::clear(claim, self.state.as_ref())
    }

    /// The place of a dead server, which no process holds unless that server is still dying, or a new one begins.
    fn claim_of_the_dead(&self) -> Result<Claim, DetachError> {
        if let Ok(claim) = self.place.claim_now() {
            return Ok(claim);
        }
        // One that dies may wait for what only it could answer.
        if matches!(self.life(), Life::Dead) {
            leftovers::give_up(&self.place);
        }
        self.place.claim().map_err(|e| self.not_claimed(e))
    }

    fn not_claimed(&self, error: AttachError) -> DetachError {
        match error {
            AttachError::InUse { name } => DetachError::Claimed { name },
            AttachError::Untrusted(why) => DetachError::Untrusted(why),
            other => DetachError::System {
                path: self.place.directory().to_owned(),
                action: "claiming",
                source: io::Error::other(other),
            },
        }
    }

    /// Unmounts what was mounted on this program's account, and notes what that was.
    fn unmount<'s>(&'s self, unmounted: &mut Vec<&'s MountPoint>) -> Result<(), DetachError> {
        let Some(state) = &self.state else { return Ok(()) };
        // Last mounted, first unmounted.
        for mount in state.mounts.iter().rev() {
            if leftovers::unmount_filesystem(mount, state)? {
                unmounted.push(mount);
            }
        }
        Ok(())
    }

    /// Who only looks is gone soon.
    fn lasting_holders(&self) -> Vec<Holder> {
        let started = Instant::now();
        loop {
            let holders = self.holders();
            let may_pass = holders.iter().all(Holder::may_pass);
            if holders.is_empty() || !may_pass || started.elapsed() > LOOK {
                return holders;
            }
            thread::sleep(LOOK / 20);
        }
    }

    fn silent(&self, source: io::Error) -> DetachError {
        DetachError::Silent {
            name: self.place.name().clone(),
            pid: self.state.as_ref().map_or(0, |state| state.pid),
            source,
        }
    }

    fn refuse_if_held(&self, holders: Vec<Holder>) -> Result<(), DetachError> {
        if holders.is_empty() {
            return Ok(());
        }
        Err(DetachError::Busy { name: self.place.name().clone(), holders })
    }

    fn end_server(&self) -> Result<(), DetachError> {
        let Some(peer) = Peer::of(&self.place).map_err(|e| self.silent(e))? else { return Ok(()) };
        match peer.end() {
            Ok(Ending::Ends) => Ok(()),
            Ok(Ending::EndsBadly(why)) => {
                Err(DetachError::Unclean { name: self.place.name().clone(), why })
            }
            Err(NoAnswer::Dying) => {
                leftovers::give_up(&self.place);
                Ok(())
            }
            Err(NoAnswer::Silent(error)) => Err(self.silent(error)),
            // That process came after the look, or is of another user.
            Ok(Ending::Busy) => {
                let mut holders = self.holders();
                if holders.is_empty() {
                    holders.push(Holder::Unseen { held: self.place.raw() });
                }
                self.refuse_if_held(holders)
            }
        }
    }
}

fn unusable(home: &Home, why: NotUsed) -> DetachError {
    match why {
        NotUsed::Untrusted(why) => why.into(),
        NotUsed::System(source) => {
            DetachError::System { path: home.path().to_owned(), action: "reading", source }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Attached, Home, Place, Plan, State};
    use crate::Recipe;
    use host::entry::LinkOfAnother;

    fn state(place: &Place) -> State {
        State {
            name: place.name().clone(),
            pid: 0,
            set_id: None,
            content_id: None,
            warnings: Vec::new(),
            file: place.raw(),
            size: 0,
            writable: false,
            devices: Vec::new(),
            mounts: Vec::new(),
        }
    }

    fn plan(at: &Path) -> Plan {
        let recipe = Recipe { kind: "ext4".into(), writable: false, exec: false, data: Vec::new() };
        Plan { partition: None, device: "/dev/null".into(), at: at.to_owned(), recipe }
    }

    #[test]
    fn directories_for_mounts_are_gone_with_it_however_far_it_came() {
        let base = tempfile::tempdir().unwrap();
        let place = Home::new(base.path().join("home")).place("one".parse().unwrap());
        drop(place.claim().unwrap());
        let mut attached = Attached { place: place.clone(), state: Some(state(&place)) };
        // The second one cannot be made.
        let at = |name: &str| base.path().join(name);
        attached.mount(vec![plan(&at("first")), plan(&at("none/second"))]).unwrap_err();
        assert!(base.path().join("first").exists());
        Attached::at(place).detach().unwrap();
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn no_link_of_another_user_is_followed_to_a_mount() {
        let base = tempfile::tempdir().unwrap();
        let at = |name: &str| base.path().join(name);
        std::fs::create_dir(at("victim")).unwrap();
        let link = at("p1");
        std::os::unix::fs::symlink("victim", &link).unwrap();
        if std::os::unix::fs::lchown(&link, Some(65534), None).is_err() {
            // Only root gives away what it has.
            return;
        }
        let place = Home::new(at("home")).place("one".parse().unwrap());
        drop(place.claim().unwrap());
        for name in ["p1", "p1/new"] {
            let mut attached = Attached { place: place.clone(), state: Some(state(&place)) };
            let error = attached.mount(vec![plan(&at(name))]).unwrap_err();
            assert!(LinkOfAnother::is_why(&error.source), "{name}: {error}");
        }
        Attached::at(place).detach().unwrap();
        assert_eq!(std::fs::read_dir(at("victim")).unwrap().count(), 0);
        assert!(link.is_symlink());
    }
}
