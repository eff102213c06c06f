// SPDX-License-Identifier: GPL-2.0

//! Hostile changes to images: one field of one metadata structure, its checksum set right again.
//!
//! A checksum guards against accidents. Whoever wants to harm sets it right, so what lies behind it
//! has to be tested with values that no checksum stops.

pub mod layout;

use crate::{
    image::{Disk, Disks, ImageStore, Overlay},
    libxfs::{
        format::{crc, units::BASIC_BLOCK_SIZE},
        store::{Device, Run, Store},
    },
};
use layout::{Field, Layout};
use std::{collections::BTreeMap, fmt, io, sync::Arc};

/// Where the choices of a mutation come from.
pub trait Choices {
    /// The next 64 bits.
    fn word(&mut self) -> u64;

    /// A number below `n`; 0 if `n` is.
    fn below(&mut self, n: usize) -> usize {
        match n {
            0 => 0,
            n => (self.word() % n as u64) as usize,
        }
    }
}

/// Choices that follow from a seed (SplitMix64).
pub struct Seeded(pub u64);

impl Choices for Seeded {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Choices that a fuzzer makes, as few bytes each as will do. Zeroes once they are used up.
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    fn take(&mut self, n: usize) -> u64 {
        let (now, later) = self.0.split_at(n.min(self.0.len()));
        self.0 = later;
        now.iter().fold(0, |v, b| (v << 8) | u64::from(*b))
    }
}

impl Choices for Bytes<'_> {
    fn word(&mut self) -> u64 {
        self.take(8)
    }

    fn below(&mut self, n: usize) -> usize {
        match n {
            0 | 1 => 0,
            2..=0x100 => self.take(1) as usize % n,
            0x101..=0x1_0000 => self.take(2) as usize % n,
            _ => self.take(4) as usize % n,
        }
    }
}

/// A metadata structure of an image.
#[derive(Clone, Debug)]
pub struct Structure {
    /// The device that it lies on.
    pub device: Device,
    /// The buffer that it lies in.
    pub runs: Vec<Run>,
    /// Its first byte there.
    pub at: usize,
    /// Its bytes.
    pub len: usize,
    /// Its kind.
    pub layout: &'static Layout,
}

/// The metadata structures of an image, by kind.
#[derive(Default)]
pub struct Catalogue {
    kinds: Vec<Vec<Structure>>,
}

impl Catalogue {
    /// The structures in some buffers of an image, say all that a walk of it read.
    pub fn new<'a>(
        disks: &Disks,
        block_size: usize,
        inode_size: usize,
        buffers: impl IntoIterator<Item = (Device, &'a [Run])>,
    ) -> io::Result<Self> {
        let mut kinds: BTreeMap<&str, Vec<Structure>> = BTreeMap::new();
        for (device, runs) in buffers {
            let bytes = read(disks, device, runs)?;
            let Some(layout) = Layout::of(&bytes) else {
                continue;
            };
            let step = layout.step(bytes.len(), block_size, inode_size);
            for (i, piece) in bytes.chunks_exact(step).enumerate() {
                // An inode that is free has nothing of interest.
                let free = layout.name == "inode" && piece[2..4] == [0, 0];
                if Layout::of(piece).is_some_and(|of| of.name == layout.name) && !free {
                    // The first superblock is read in another way than its copies.
                    let first = runs[0].at.0 == 0 && device == Device::Data && i == 0;
                    let kind = if first { "superblock 0" } else { layout.name };
                    kinds.entry(kind).or_default().push(Structure {
                        device,
                        runs: runs.to_vec(),
                        at: i * step,
                        len: step,
                        layout,
                    });
                }
            }
        }
        Ok(Self {
            kinds: kinds.into_values().collect(),
        })
    }

    /// All structures that `walk` reads.
    ///
    /// # Errors
    ///
    /// Those of the disks.
    pub fn of_walk<R>(store: &ImageStore, walk: impl FnOnce(&ImageStore) -> R) -> io::Result<Self> {
        store.record();
        walk(store);
        let geo = store.geometry();
        let recorded = store.recorded();
        Self::new(
            store.disks(),
            geo.block_size as usize,
            geo.inode_size as usize,
            recorded.iter().map(|(device, runs)| (*device, &runs[..])),
        )
    }

    /// The structures, kind by kind.
    pub fn kinds(&self) -> &[Vec<Structure>] {
        &self.kinds
    }

    /// Makes one change, chosen by `choices`, in the image that `disks` shows, and returns the
    /// disks with the change in them, and what it is.
    ///
    /// # Errors
    ///
    /// Those of the disks.
    pub fn mutate(
        &self,
        choices: &mut dyn Choices,
        disks: &mut Mutable,
    ) -> io::Result<Option<Mutation>> {
        let Some(kind) = self.kinds.get(choices.below(self.kinds.len())) else {
            return Ok(None);
        };
        let structure = &kind[choices.below(kind.len())];
        let mut buffer = read(&disks.disks(), structure.device, &structure.runs)?;
        let bytes = &mut buffer[structure.at..structure.at + structure.len];
        let (name, at, len) = choose_field(choices, structure.layout, bytes);
        let old = bytes[at..at + len].to_vec();
        change(choices, bytes, at, len);
        if bytes[at..at + len] == old {
            bytes[at + len - 1] ^= 1;
        }
        let new = bytes[at..at + len].to_vec();
        crc::set_block_crc(bytes, structure.layout.crc);
        write(disks, structure, &buffer)?;
        Ok(Some(Mutation {
            structure: structure.clone(),
            field: name,
            at,
            old,
            new,
        }))
    }
}

/// A change that was made.
#[derive(Clone, Debug)]
pub struct Mutation {
    /// The structure.
    pub structure: Structure,
    /// The field's name.
    pub field: String,
    /// The field's first byte in the structure.
    pub at: usize,
    /// Its bytes before.
    pub old: Vec<u8>,
    /// Its bytes now.
    pub new: Vec<u8>,
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let structure = &self.structure;
        write!(
            f,
            "{} in {} block {:#x} byte {:#x}: {} at {:#x}: {} -> {}",
            structure.layout.name,
            structure.device,
            structure.runs[0].at.0,
            structure.at,
            self.field,
            self.at,
            hex(&self.old),
            hex(&self.new)
        )
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A field of the header, a field of a record, or any word of the body.
fn choose_field(
    choices: &mut dyn Choices,
    layout: &Layout,
    bytes: &[u8],
) -> (String, usize, usize) {
    let header = |choices: &mut dyn Choices| {
        let field = layout.fields[choices.below(layout.fields.len())];
        (field.name.to_owned(), field.at, field.len)
    };
    let body = bytes.get(layout.body..).unwrap_or_default();
    let way = choices.below(8);
    if body.len() < 8 || way < 4 {
        return header(choices);
    }
    if way < 6 && !layout.record.is_empty() {
        let size = layout
            .record
            .iter()
            .map(|f| f.at + f.len)
            .max()
            .unwrap_or(1);
        let records = body.len() / size;
        // Most blocks are nearly empty: half of the time, one of the first records.
        let few = if choices.below(2) == 0 {
            records.min(4)
        } else {
            records
        };
        let i = choices.below(few);
        let Field { name, at, len } = layout.record[choices.below(layout.record.len())];
        return (format!("[{i}].{name}"), layout.body + i * size + at, len);
    }
    let len = [1, 2, 4, 8][choices.below(4)];
    let words: Vec<usize> = (0..body.len() / len)
        .filter(|i| body[i * len..(i + 1) * len].iter().any(|b| *b != 0))
        .collect();
    match words.get(choices.below(words.len())) {
        Some(i) => ("word".to_owned(), layout.body + i * len, len),
        None => header(choices),
    }
}

/// Gives the field a hostile value.
fn change(choices: &mut dyn Choices, bytes: &mut [u8], at: usize, len: usize) {
    let field = &mut bytes[at..at + len];
    if !matches!(len, 1 | 2 | 4 | 8) {
        field[choices.below(len)] ^= 1 << choices.below(8);
        return;
    }
    let bits = 8 * len as u32;
    let max = u64::MAX >> (64 - bits);
    let old = field.iter().fold(0, |v, b| (v << 8) | u64::from(*b));
    let new = match choices.below(12) {
        0 => 0,
        1 => max,
        2 => max >> 1,
        3 => (max >> 1) + 1,
        4 => old.wrapping_add(1),
        5 => old.wrapping_sub(1),
        6 => old ^ (1 << choices.below(bits as usize)),
        7 => old << 1,
        8 => old >> 1,
        9 => choices.below(16) as u64,
        10 => old.wrapping_add(choices.below(256) as u64),
        _ => choices.word(),
    };
    field.copy_from_slice(&new.to_be_bytes()[8 - len..]);
}

/// Disks that can be changed; what they are made from stays as it is.
#[derive(Clone)]
pub struct Mutable {
    data: Overlay,
    log: Option<Overlay>,
    rt: Option<Overlay>,
}

impl Mutable {
    /// Nothing changed yet.
    pub fn new(disks: &Disks) -> Self {
        let overlay = |disk: &Arc<dyn Disk>| Overlay::new(disk.clone());
        Self {
            data: overlay(&disks.data),
            log: disks.log.as_ref().map(overlay),
            rt: disks.rt.as_ref().map(overlay),
        }
    }

    /// The disks as they are now.
    pub fn disks(&self) -> Disks {
        let share = |overlay: &Overlay| -> Arc<dyn Disk> { Arc::new(overlay.clone()) };
        Disks {
            data: share(&self.data),
            log: self.log.as_ref().map(share),
            rt: self.rt.as_ref().map(share),
        }
    }

    /// The changes of a device.
    pub fn changes(&self, device: Device) -> Option<&Overlay> {
        match device {
            Device::Data => Some(&self.data),
            Device::Log => self.log.as_ref(),
            Device::Realtime => self.rt.as_ref(),
        }
    }

    fn overlay(&mut self, device: Device) -> &mut Overlay {
        let other = match device {
            Device::Data => None,
            Device::Log => self.log.as_mut(),
            Device::Realtime => self.rt.as_mut(),
        };
        other.unwrap_or(&mut self.data)
    }
}

fn read(disks: &Disks, device: Device, runs: &[Run]) -> io::Result<Vec<u8>> {
    let disk = disks.get(device).ok_or(io::ErrorKind::NotFound)?;
    let mut bytes = Vec::new();
    for run in runs {
        let start = bytes.len();
        bytes.resize(start + run.len as usize * BASIC_BLOCK_SIZE as usize, 0);
        disk.read_at(run.at.0 * u64::from(BASIC_BLOCK_SIZE), &mut bytes[start..])?;
    }
    Ok(bytes)
}

fn write(disks: &mut Mutable, structure: &Structure, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    for run in &structure.runs {
        let (now, later) = rest.split_at(run.len as usize * BASIC_BLOCK_SIZE as usize);
        disks
            .overlay(structure.device)
            .write_at(run.at.0 * u64::from(BASIC_BLOCK_SIZE), now)?;
        rest = later;
    }
    Ok(())
}
