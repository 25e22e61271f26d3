//! What speaks against a device of a stack.

use disk::partitions::{Flaw, TableError};
use jiff::Timestamp;
use snapfmt::Offset;

use super::DeviceNo;
use disk::lvm2::{LegNote, LegState, LvmError, LvmId, PvState, ThinDoubt, Unreadable};
use disk::md::{ArrayId, MdError, MemberState, Refused};
use disk::pieces::PiecesError;

/// Why a device cannot be read, or what is read should not be believed.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Its pieces do not fit together.
    #[error(transparent)]
    Pieces(PiecesError),
    /// Its label of LVM is damaged.
    #[error("{0}")]
    Label(LvmError),
    /// It has superblocks of arrays that were created at the same time.
    #[error(
        "it has superblocks of the arrays {one} and {other}, and neither was created after the other"
    )]
    Superblocks {
        /// The one.
        one: ArrayId,
        /// The other.
        other: ArrayId,
    },
    /// Its partition table is damaged.
    #[error(transparent)]
    Table(TableError),
    /// A device below cannot be believed.
    #[error("device {} below it has problems of its own", .0.0)]
    Below(DeviceNo),
    /// A logical volume is of a kind that cannot be read.
    #[error(transparent)]
    LogicalVolume(Unreadable),
    /// A physical volume that it is on is missing, or of another moment.
    #[error("physical volume {name} ({id}) of {group:?} {}", pv_state(.state, *.seqno))]
    PhysicalVolume {
        /// What the group calls it.
        name: String,
        /// Its id.
        id: LvmId,
        /// The group.
        group: String,
        /// What the group's metadata is at.
        seqno: u64,
        /// What is wrong with it.
        state: PvState,
        /// The devices that say they are it.
        devices: Vec<DeviceNo>,
    },
    /// Bytes of a logical volume have no copy that is there and current.
    #[error("no copy of all of {lv:?} is there and in sync: {}", legs_listed(.legs))]
    NoCopy {
        /// The volume with the copies.
        lv: String,
        /// What is known of each.
        legs: Vec<LegState>,
    },
    /// Its thin pool was not left in order, although every block read of its metadata is sound.
    #[error("thin pool {pool}: {doubt}")]
    ThinPool {
        /// The pool.
        pool: String,
        /// What speaks against it.
        doubt: ThinDoubt,
    },
    /// Copies of the group's metadata contradict each other.
    #[error("copies of the metadata of group {group:?} are both at {seqno} and differ")]
    Contradiction {
        /// The group.
        group: String,
        /// What both are at.
        seqno: u64,
        /// The devices with the copies that were not taken.
        devices: Vec<DeviceNo>,
    },
    /// An array is of a kind that cannot be read.
    #[error(transparent)]
    Array(Refused),
    /// A member of an array that it is on is missing, or of another moment.
    #[error(
        "member {place} of the array {array} {}{}", member_state(.state, *.events),
        if matches!(.state, MemberState::Missing) && !.devices.is_empty() {
            ", unless it is here and cut off before its superblock, which is at the end"
        } else {
            ""
        }
    )]
    Member {
        /// The array.
        array: ArrayId,
        /// Its place.
        place: usize,
        /// The most that any member has seen.
        events: u64,
        /// What is wrong with it.
        state: MemberState,
        /// Whether it holds what other members held too: only a current one will do.
        is_copy: bool,
        /// The devices that say they are it; of a missing one with a superblock at its end, those that may be
        /// what is left of it.
        devices: Vec<DeviceNo>,
    },
    /// A member of an array lists blocks as bad, and no other member holds a copy of them.
    #[error(
        "member {place} of the array {array} lists {bytes} bytes as bad of which no copy is there"
    )]
    BadBlocks {
        /// The array.
        array: ArrayId,
        /// Its place.
        place: usize,
        /// How many bytes.
        bytes: u64,
        /// The device.
        devices: Vec<DeviceNo>,
    },
    /// Members of an array went on without each other.
    #[error("members of the array each went on without the others: {}", halves_listed(.halves))]
    Split {
        /// The places of each half.
        halves: Vec<Vec<usize>>,
        /// All members.
        devices: Vec<DeviceNo>,
    },
    /// A filesystem on it is larger than it.
    #[error("the {filesystem} on it has {needed} bytes, it has {size} itself")]
    FilesystemCut {
        /// What it calls itself.
        filesystem: &'static str,
        /// Size of the filesystem in bytes.
        needed: u64,
        /// Size of the device in bytes.
        size: u64,
    },
    /// The copy of a filesystem's superblock is not where it must be.
    #[error(
        "the {filesystem} on it has no copy of its superblock at {offset}, where it must be", offset = Offset(*offset))]
    FilesystemBroken {
        /// What it calls itself.
        filesystem: &'static str,
        /// Where the copy must be, in bytes.
        offset: u64,
    },
    /// Devices are nested too deep, or there are too many.
    #[error("more devices on each other than are believed")]
    TooMuch,
}

/// What is odd about a device and does no harm.
#[derive(Debug, thiserror::Error)]
pub enum Warning {
    /// It has a superblock of an array, or what is left of one, that cannot be believed.
    #[error("{0}")]
    Superblock(MdError),
    /// A copy of LVM's metadata on it is damaged.
    #[error("{0}")]
    Metadata(LvmError),
    /// A copy of LVM's metadata on it is of an earlier moment.
    #[error("the metadata at {offset} is at {seqno}, the group is at {newest}", offset = Offset(*offset))]
    OldMetadata {
        /// Where it is, in bytes.
        offset: u64,
        /// What it is at.
        seqno: u64,
        /// What the group is at.
        newest: u64,
    },
    /// No metadata on it says of which moment it is.
    #[error("it has no sound metadata of its own, so nothing says of which moment it is")]
    Undated,
    /// Its group does not list it any more.
    #[error("group {group:?} does not list it any more")]
    Unlisted {
        /// The group.
        group: String,
    },
    /// It was found only after what it belongs to had been put together.
    #[error("it lies on what it belongs to")]
    Late,
    /// It is of an array without a place in it.
    #[error("it has no place in its array")]
    NoPlace,
    /// Copies in its array may differ.
    #[error("the array was not stopped cleanly: where it was being written to, copies may differ")]
    NotClean,
    /// A leg of a mirror that it lies on is not whole and current.
    #[error("{0}")]
    Leg(LegNote),
    /// Copies in its array are equal as far as a number says.
    #[error(
        "the array was being resynced: only up to byte {up_to} of each member are its copies known to be equal", up_to = Offset(*up_to)
    )]
    Resyncing {
        /// How far.
        up_to: u64,
    },
    /// Not all copies in its array could be read.
    #[error("{}", degraded(*.place, *.of, *.listed, .state, *.events))]
    Degraded {
        /// Place of the member that is not read.
        place: usize,
        /// Number of members.
        of: usize,
        /// Whether the array had a member in use in that place.
        listed: bool,
        /// The most that any member has seen.
        events: u64,
        /// What is wrong with it.
        state: MemberState,
    },
    /// A member of its array was cut off behind all that counts.
    #[error("member {place} of the array is cut off behind the bytes that are used of it")]
    CutMember {
        /// Its place.
        place: usize,
    },
    /// It is a physical volume that was cut off: volumes that need nothing of what is gone are whole.
    #[error(
        "physical volume {name} is cut off: its extents end at byte {needed}, the device has {size}; what is \
         behind is not read", needed = Offset(*needed)
    )]
    CutVolume {
        /// What the group calls it.
        name: String,
        /// Size of the device in bytes.
        size: u64,
        /// Where its extents end.
        needed: u64,
    },
    /// It is a physical volume that its group did without.
    #[error(
        "physical volume {name} was missing when its group was last changed: what it holds may be older than the \
         rest"
    )]
    VolumeWasMissing {
        /// What the group calls it.
        name: String,
    },
    /// A superblock is older than what the device holds.
    #[error(
        "the superblock of the array {array} at {offset} is older than what the device is now, and is not used",
        offset = Offset(*offset)
    )]
    OldSuperblock {
        /// Where it is, in bytes.
        offset: u64,
        /// The array's id.
        array: ArrayId,
    },
    /// A disk with partitions has the label of a physical volume that it was before.
    #[error(
        "its label as the physical volume {id} is left over from before and does not count: it has a partition table"
    )]
    OldLabel {
        /// The physical volume's id.
        id: LvmId,
    },
    /// A disk with partitions has the superblock of an array before its data.
    #[error(
        "it is a member of the array {array}, and it has a partition table: one of the two is left over from before"
    )]
    ArrayOrTable {
        /// The array's id.
        array: ArrayId,
    },
    /// A member lists blocks as bad of which there are copies.
    #[error("member {place} of the array lists {bytes} bytes as bad: copies of them are read")]
    BadBlocks {
        /// Its place.
        place: usize,
        /// How many bytes.
        bytes: u64,
    },
    /// The copy of a filesystem's superblock is not where it should be, on what was not put together.
    #[error("the {filesystem} on it has no copy of its superblock at {offset}", offset = Offset(*offset))]
    FilesystemBackup {
        /// What it calls itself.
        filesystem: &'static str,
        /// Where the copy should be, in bytes.
        offset: u64,
    },
    /// Its partition table is not in order.
    #[error(transparent)]
    Table(Flaw),
    /// The device had another size when its label was written.
    #[error("its label is for a device of {expected} bytes, it has {found}")]
    Size {
        /// What the label says.
        expected: u64,
        /// What it has.
        found: u64,
    },
}

impl Warning {
    /// Whether it speaks of the bytes that are read of the device, and not only of how it was found.
    pub const fn is_of_content(&self) -> bool {
        match self {
            Self::Superblock(_)
            | Self::NotClean
            | Self::Leg(_)
            | Self::Resyncing { .. }
            | Self::Degraded { .. }
            | Self::CutMember { .. }
            | Self::CutVolume { .. }
            | Self::VolumeWasMissing { .. }
            | Self::OldSuperblock { .. }
            | Self::OldLabel { .. }
            | Self::ArrayOrTable { .. }
            | Self::FilesystemBackup { .. }
            | Self::Table(Flaw::BrokenChain { .. } | Flaw::GptLost | Flaw::OldGpt { .. })
            | Self::BadBlocks { .. } => true,
            Self::Metadata(_)
            | Self::OldMetadata { .. }
            | Self::Undated
            | Self::Unlisted { .. }
            | Self::Late
            | Self::NoPlace
            | Self::Table(_)
            | Self::Size { .. } => false,
        }
    }
}

impl Problem {
    /// The devices that it is about, beside the one it was found on.
    pub fn devices(&self) -> &[DeviceNo] {
        match self {
            Self::PhysicalVolume { devices, .. }
            | Self::Member { devices, .. }
            | Self::BadBlocks { devices, .. }
            | Self::Split { devices, .. }
            | Self::Contradiction { devices, .. } => devices,
            _ => &[],
        }
    }

    /// Whether something is not there, as against being there and not right.
    pub fn is_absence(&self) -> bool {
        if let Self::Member { state: MemberState::Missing, devices, .. } = self {
            return devices.is_empty();
        }
        matches!(
            self,
            Self::PhysicalVolume { state: PvState::Missing, .. }
                | Self::Member {
                    state: MemberState::Older { .. }
                        | MemberState::LeftOut { .. }
                        | MemberState::Recovering { .. },
                    is_copy: true,
                    ..
                }
                | Self::Array(Refused::UnknownSize(_))
                | Self::NoCopy { .. }
        )
    }

    /// Whether the device can be read all the same, with what is missing counted as damage.
    pub fn can_be_salvaged(&self) -> bool {
        match self {
            Self::PhysicalVolume { .. }
            | Self::Member { .. }
            | Self::BadBlocks { .. }
            | Self::NoCopy { .. }
            | Self::ThinPool { .. }
            | Self::FilesystemCut { .. }
            | Self::FilesystemBroken { .. }
            | Self::Below(_) => true,
            Self::Pieces(_)
            | Self::Label(_)
            | Self::Superblocks { .. }
            | Self::Table(_)
            | Self::LogicalVolume(_)
            | Self::Contradiction { .. }
            | Self::Split { .. }
            | Self::Array(_)
            | Self::TooMuch => false,
        }
    }
}

fn pv_state(state: &PvState, seqno: u64) -> String {
    match state {
        PvState::Usable => "is there".into(),
        PvState::Missing => "is missing".into(),
        PvState::Doubled { devices } => format!("is there {} times", devices.len()),
        PvState::Older { seqno: own } => {
            format!("is of an earlier moment: its own metadata is at {own}, the group's at {seqno}")
        }
        PvState::Elsewhere { group } => format!("says itself that it is of group {group:?}"),
        PvState::Short { size, needed } => {
            let needed = Offset(*needed);
            format!("is cut off: its extents end at byte {needed}, the device has {size}")
        }
    }
}

fn member_state(state: &MemberState, events: u64) -> String {
    match state {
        MemberState::Usable => "is there".into(),
        MemberState::Missing => "is missing".into(),
        MemberState::Doubled { devices } => format!("is there {} times", devices.len()),
        MemberState::Older { events: own } => {
            format!("is of an earlier moment: its events are {own}, the array's {events}")
        }
        MemberState::Earlier { updated, newest } => format!(
            "is of an earlier moment: its superblock was written at {}, the array's newest at {}",
            time(*updated),
            time(*newest)
        ),
        MemberState::LeftOut { .. } => "was given up by another that is as new".into(),
        MemberState::Split { .. } => "and another each say that the other failed".into(),
        MemberState::Recovering { up_to } => {
            format!("is not yet in sync beyond byte {} of its data", Offset(*up_to))
        }
        MemberState::Short { size, needed } => {
            let needed = Offset(*needed);
            format!("is cut off: its data end at byte {needed}, the device has {size}")
        }
        MemberState::Differs { field } => format!("says something else than the others as {field}"),
    }
}

/// A time of a superblock, in seconds since 1970.
fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("second {seconds}"), |time| time.to_string())
}

fn degraded(place: usize, of: usize, listed: bool, state: &MemberState, events: u64) -> String {
    match state {
        MemberState::Missing if listed => format!(
            "member {place} of {of} is missing; whether what is there is the newest cannot be proved"
        ),
        MemberState::Missing => {
            format!("the array was degraded: it did without member {place} of {of}")
        }
        state => format!("member {place} of {of} is not read: it {}", member_state(state, events)),
    }
}

fn legs_listed(legs: &[LegState]) -> String {
    let leg = |(n, state): (usize, &LegState)| format!("leg {n} {state}");
    legs.iter().enumerate().map(leg).collect::<Vec<_>>().join(", ")
}

fn halves_listed(halves: &[Vec<usize>]) -> String {
    let half = |places: &Vec<usize>| {
        let places: Vec<String> = places.iter().map(ToString::to_string).collect();
        places.join(" and ")
    };
    halves.iter().map(half).collect::<Vec<_>>().join(" against ")
}
