//! Arrays and partition tables written by hand, as mdadm and fdisk would write them.

use std::sync::Arc;

use super::Bytes;

const SECTOR: usize = 512;

/// An array to be written.
#[derive(Clone, Copy)]
pub(crate) struct Forged {
    /// Version of the superblock: 0 (0.90), 10, 11 or 12.
    pub(crate) version: u32,
    pub(crate) level: i32,
    pub(crate) layout: u32,
    /// Bytes of a chunk.
    pub(crate) chunk: usize,
    pub(crate) disks: u32,
    pub(crate) uuid: [u8; 16],
    /// When it was created, in seconds since 1970.
    pub(crate) created: u32,
    /// A bit for each place whose member has failed.
    pub(crate) failed: u32,
    /// Sectors up to which copies are equal.
    pub(crate) resynced: u64,
    /// When superblocks were written, in seconds since 1970.
    pub(crate) updated: u32,
}

/// Data start this far into members of version 1.1 and 1.2.
pub(crate) const DATA: usize = 1 << 20;

impl Forged {
    /// A stripe set of two, as mdadm makes it today.
    pub(crate) const RAID0: Self = Self {
        version: 12,
        level: 0,
        layout: 0,
        chunk: 64 << 10,
        disks: 2,
        uuid: [0xa5; 16],
        created: 1_795_237_200,
        failed: 0,
        resynced: u64::MAX,
        updated: 1_795_237_200,
    };

    /// A member with these data.
    pub(crate) fn member(&self, place: u32, events: u64, data: &[u8]) -> Bytes {
        let start = if self.version >= 11 { DATA } else { 0 };
        let mut bytes = vec![0; start];
        bytes.extend_from_slice(data);
        let len = match self.version {
            0 => bytes.len().next_multiple_of(64 << 10) + (64 << 10),
            10 => bytes.len().next_multiple_of(4096) + (16 << 10),
            _ => bytes.len(),
        };
        bytes.resize(len, 0);
        let (at, superblock) = match self.version {
            0 => (len - (64 << 10), self.version_0(place, events, data.len())),
            10 => ((len - 8192) / 4096 * 4096, vec![]),
            11 => (0, vec![]),
            _ => (4096, vec![]),
        };
        let superblock = if self.version == 0 {
            superblock
        } else {
            self.version_1(place, events, at, start, data.len())
        };
        bytes[at..at + superblock.len()].copy_from_slice(&superblock);
        Arc::new(bytes)
    }

    /// The superblock of version 1.2 of a member with so many bytes of data.
    pub(crate) fn superblock(&self, place: u32, events: u64, size: u64) -> Vec<u8> {
        self.version_1(place, events, 4096, DATA, usize::try_from(size).unwrap())
    }

    /// A superblock of version 1.
    fn version_1(&self, place: u32, events: u64, at: usize, start: usize, size: usize) -> Vec<u8> {
        let sectors = |bytes: usize| (bytes / SECTOR) as u64;
        let mut b = vec![0; 256 + 2 * self.disks as usize];
        let mut put = |at: usize, bytes: &[u8]| b[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &0xa92b_4efc_u32.to_le_bytes());
        put(4, &1_u32.to_le_bytes());
        if self.level == 0 && self.layout != 0 {
            put(8, &4096_u32.to_le_bytes());
        }
        put(16, &self.uuid);
        put(32, b"forged:array");
        put(64, &u64::from(self.created).to_le_bytes());
        put(72, &self.level.to_le_bytes());
        put(76, &self.layout.to_le_bytes());
        let used = if matches!(self.level, 1 | 10) { sectors(size) } else { 0 };
        put(80, &used.to_le_bytes());
        put(88, &u32::try_from(self.chunk / SECTOR).unwrap().to_le_bytes());
        put(92, &self.disks.to_le_bytes());
        put(128, &sectors(start).to_le_bytes());
        put(136, &sectors(size).to_le_bytes());
        put(144, &sectors(at).to_le_bytes());
        put(160, &place.to_le_bytes());
        put(168, &[u8::try_from(place).unwrap() + 1; 16]);
        put(192, &u64::from(self.updated).to_le_bytes());
        put(200, &events.to_le_bytes());
        put(208, &self.resynced.to_le_bytes());
        put(220, &self.disks.to_le_bytes());
        for disk in 0..self.disks {
            let role = if self.failed.unbounded_shr(disk) & 1 == 0 {
                u16::try_from(disk).unwrap()
            } else {
                0xfffe
            };
            put(256 + 2 * disk as usize, &role.to_le_bytes());
        }
        seal(&mut b);
        b
    }

    /// A superblock of version 0.90.
    fn version_0(&self, place: u32, events: u64, size: usize) -> Vec<u8> {
        let mut w = vec![0_u32; 1024];
        w[0] = 0xa92b_4efc;
        w[2] = 90;
        let (uuid, _) = self.uuid.as_chunks::<4>();
        for (at, part) in [5, 13, 14, 15].into_iter().zip(uuid) {
            w[at] = u32::from_be_bytes(*part);
        }
        w[6] = self.created;
        w[7] = self.level.cast_unsigned();
        w[8] = if matches!(self.level, 1 | 10) { u32::try_from(size / 1024).unwrap() } else { 0 };
        w[9] = self.disks;
        w[10] = self.disks;
        w[32] = self.updated;
        w[33] = 1;
        w[34] = self.disks;
        w[35] = self.disks;
        w[39] = u32::try_from(events).unwrap();
        w[64] = self.layout;
        w[65] = u32::try_from(self.chunk).unwrap();
        for disk in 0..self.disks {
            let at = 128 + 32 * disk as usize;
            let state = if self.failed >> disk & 1 == 0 { 6 } else { 9 };
            w[at..at + 5].copy_from_slice(&[disk, 8, 16 * disk, disk, state]);
        }
        let at = 128 + 32 * place as usize;
        let own: Vec<u32> = w[at..at + 32].to_vec();
        w[992..].copy_from_slice(&own);
        let sum: u64 = w.iter().map(|w| u64::from(*w)).sum();
        w[38] = u32::try_from((sum & 0xffff_ffff) + (sum >> 32)).unwrap();
        w.iter().flat_map(|w| w.to_le_bytes()).collect()
    }
}

/// Gives a superblock of version 1 its checksum.
pub(crate) fn seal(superblock: &mut [u8]) {
    superblock[216..220].fill(0);
    let (words, rest) = superblock.as_chunks::<4>();
    let mut sum: u64 = words.iter().map(|w| u64::from(u32::from_le_bytes(*w))).sum();
    if let Some(half) = rest.first_chunk() {
        sum += u64::from(u16::from_le_bytes(*half));
    }
    let folded = (sum & 0xffff_ffff) + (sum >> 32);
    superblock[216..220].copy_from_slice(&folded.to_le_bytes()[..4]);
}

/// What two members get of a volume that is striped over them.
pub(crate) fn striped(volume: &[u8], chunk: usize, members: usize) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new(); members];
    for (n, chunk) in volume.chunks(chunk).enumerate() {
        parts[n % members].extend_from_slice(chunk);
    }
    parts
}

/// A disk with a table of DOS and these partitions, the first at 1 MiB.
pub(crate) fn disk(partitions: &[(u8, &[u8])]) -> Bytes {
    let mut disk = vec![0; 1 << 20];
    for (n, (kind, bytes)) in partitions.iter().enumerate() {
        let first = u32::try_from(disk.len() / SECTOR).unwrap();
        let sectors = u32::try_from(bytes.len().div_ceil(SECTOR)).unwrap();
        disk.extend_from_slice(bytes);
        disk.resize(disk.len().next_multiple_of(1 << 20), 0);
        let entry = 446 + 16 * n;
        disk[entry + 4] = *kind;
        disk[entry + 8..entry + 12].copy_from_slice(&first.to_le_bytes());
        disk[entry + 12..entry + 16].copy_from_slice(&sectors.to_le_bytes());
    }
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    Arc::new(disk)
}
