// SPDX-License-Identifier: GPL-2.0

//! The blocks that a transaction holds.

use crate::libxfs::{
    error::{Error, Result},
    format::{
        fault::Fault,
        kind::Kind,
        log::chunks::{ChunkMap, MAX_LOGGED_SIZE},
        units::DiskAddr,
    },
    store::{Device, Run, Runs},
};
use core::ops::{DerefMut, Range};
use kernel::alloc::{flags::GFP_KERNEL, KVec};

/// Names a block that a transaction holds, until it is released or the transaction ends. One that
/// no longer names anything is found out: the block has no bytes and takes no changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockId {
    slot: u32,
    /// A slot is used again; the number tells its users apart.
    generation: u32,
}

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockState {
    /// It was not changed.
    Clean,
    /// Parts of it were changed, and are logged.
    Logged,
    /// It was made anew by something that is logged instead of it, and must be written before the
    /// log forgets that (an ordered buffer).
    Ordered,
    /// It is free: what the log or the cache still has of it must not be written (a stale, or
    /// cancelled, buffer).
    Invalid,
}

/// A block that a transaction holds.
pub struct HeldBlock<L> {
    device: Device,
    runs: Runs,
    at: DiskAddr,
    pub(super) kind: Kind,
    pub(super) state: BlockState,
    dirty: ChunkMap,
    /// How often it was asked for and not released.
    uses: u32,
    /// Whether it stays locked when the transaction rolls.
    pub(super) kept: bool,
    pub(super) locked: L,
}

impl<L: DerefMut<Target = [u8]>> HeldBlock<L> {
    /// The device.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Where it lies.
    pub fn runs(&self) -> &[Run] {
        self.runs.as_slice()
    }

    /// Its first address, which names it.
    pub fn address(&self) -> DiskAddr {
        self.at
    }

    /// What it is. A block's kind may have changed with its content.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What became of it.
    pub fn state(&self) -> BlockState {
        self.state
    }

    /// Its changed chunks; they mean something only for a logged block.
    pub fn dirty(&self) -> &ChunkMap {
        &self.dirty
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.locked
    }

    /// What the store locked.
    pub fn locked(&mut self) -> &mut L {
        &mut self.locked
    }

    /// What the store locked, where it lies, and its changed chunks.
    pub fn parts(&mut self) -> (&mut L, &[Run], &ChunkMap) {
        (&mut self.locked, self.runs.as_slice(), &self.dirty)
    }

    fn len_in_basic_blocks(runs: &[Run]) -> u64 {
        runs.iter()
            .fold(0u64, |sum, run| sum.saturating_add(u64::from(run.len)))
    }

    fn is_at(&self, device: Device, at: DiskAddr) -> bool {
        self.device == device && self.at == at
    }

    /// Whether `runs` are its own.
    pub(super) fn has_length_of(&self, runs: &[Run]) -> bool {
        Self::len_in_basic_blocks(self.runs.as_slice()) == Self::len_in_basic_blocks(runs)
    }

    /// Bytes to be changed; the range is logged.
    pub(super) fn change(&mut self, range: Range<usize>) -> Option<&mut [u8]> {
        if range.start > range.end || range.end > self.locked.len().min(MAX_LOGGED_SIZE) {
            return None;
        }
        if self.state != BlockState::Ordered {
            // One that was invalidated is in use again.
            self.state = BlockState::Logged;
            self.dirty.add(range.clone());
        }
        self.locked.get_mut(range)
    }

    pub(super) fn fault(&self, fault: Fault) -> Error {
        Error::block(fault, self.device, self.at)
    }
}

/// All blocks of a transaction.
pub(super) struct Blocks<L> {
    slots: KVec<Slot<L>>,
    /// Slots without a block.
    free: usize,
}

struct Slot<L> {
    generation: u32,
    block: Option<HeldBlock<L>>,
}

impl<L: DerefMut<Target = [u8]>> Blocks<L> {
    pub(super) const fn new() -> Self {
        Self {
            slots: KVec::new(),
            free: 0,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &HeldBlock<L>> {
        self.slots.iter().filter_map(|slot| slot.block.as_ref())
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut HeldBlock<L>> {
        self.slots.iter_mut().filter_map(|slot| slot.block.as_mut())
    }

    pub(super) fn get(&self, id: BlockId) -> Option<&HeldBlock<L>> {
        let slot = self.slots.get(id.slot as usize)?;
        slot.block
            .as_ref()
            .filter(|_| slot.generation == id.generation)
    }

    pub(super) fn get_mut(&mut self, id: BlockId) -> Option<&mut HeldBlock<L>> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        slot.block
            .as_mut()
            .filter(|_| slot.generation == id.generation)
    }

    /// Two different blocks at once: the first to be read, the second to be changed.
    pub(super) fn get_two(
        &mut self,
        one: BlockId,
        other: BlockId,
    ) -> Option<(&HeldBlock<L>, &mut HeldBlock<L>)> {
        let (low, high) = (one.slot.min(other.slot), one.slot.max(other.slot));
        if low == high {
            return None;
        }
        let (before, after) = self.slots.split_at_mut_checked(high as usize)?;
        let (low, high) = (before.get_mut(low as usize)?, after.first_mut()?);
        let (one_slot, other_slot) = if one.slot < other.slot {
            (low, high)
        } else {
            (high, low)
        };
        if one_slot.generation != one.generation || other_slot.generation != other.generation {
            return None;
        }
        Some((one_slot.block.as_ref()?, other_slot.block.as_mut()?))
    }

    /// The block at an address, used once more.
    pub(super) fn find(&mut self, device: Device, at: DiskAddr) -> Option<BlockId> {
        // What was asked for last is likely to be asked for again.
        for (index, slot) in self.slots.iter_mut().enumerate().rev() {
            let Some(block) = slot.block.as_mut().filter(|block| block.is_at(device, at)) else {
                continue;
            };
            block.uses = block.uses.saturating_add(1);
            return Some(BlockId {
                slot: u32::try_from(index).ok()?,
                generation: slot.generation,
            });
        }
        None
    }

    /// Makes room for one more, so that adding it cannot fail once it is locked.
    pub(super) fn reserve(&mut self) -> Result {
        if self.free == 0 {
            self.slots.push(
                Slot {
                    generation: 0,
                    block: None,
                },
                GFP_KERNEL,
            )?;
            self.free = 1;
        }
        Ok(())
    }

    pub(super) fn add(
        &mut self,
        device: Device,
        runs: &[Run],
        kind: Kind,
        locked: L,
    ) -> Result<BlockId> {
        let runs = Runs::of(runs)?;
        let at = runs.as_slice().first().ok_or(Error::Invalid)?.at;
        self.reserve()?;
        let (index, slot) = self
            .slots
            .iter_mut()
            .enumerate()
            .rev()
            .find(|(_, slot)| slot.block.is_none())
            .ok_or(Error::NoMemory)?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.block = Some(HeldBlock {
            device,
            runs,
            at,
            kind,
            state: BlockState::Clean,
            dirty: ChunkMap::new(),
            uses: 1,
            kept: false,
            locked,
        });
        self.free = self.free.saturating_sub(1);
        Ok(BlockId {
            slot: u32::try_from(index).map_err(|_| Error::NoMemory)?,
            generation: slot.generation,
        })
    }

    /// One user less; without any, and unchanged, the block is unlocked.
    pub(super) fn release(&mut self, id: BlockId) {
        let Some(slot) = self.slots.get_mut(id.slot as usize) else {
            return;
        };
        let Some(block) = slot
            .block
            .as_mut()
            .filter(|_| slot.generation == id.generation)
        else {
            return;
        };
        block.uses = block.uses.saturating_sub(1);
        if block.uses == 0 && block.state == BlockState::Clean && !block.kept {
            slot.block = None;
            self.free = self.free.saturating_add(1);
        }
    }

    /// Unlocks all blocks but those that are kept, which are clean from now on.
    pub(super) fn settle(&mut self) {
        for slot in &mut *self.slots {
            match &mut slot.block {
                Some(block) if block.kept && block.state != BlockState::Invalid => {
                    block.state = BlockState::Clean;
                    block.dirty = ChunkMap::new();
                }
                Some(_) => {
                    slot.block = None;
                    self.free = self.free.saturating_add(1);
                }
                None => {}
            }
        }
    }
}
