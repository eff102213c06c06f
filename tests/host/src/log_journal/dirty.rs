// SPDX-License-Identifier: GPL-2.0

//! What was changed and is not in its place yet: what the open checkpoint has of it (the CIL), and
//! since which record of the log it is needed (the AIL).

use crate::libxfs::{
    error::Result,
    format::{
        kind::Kind,
        log::item::ItemKind,
        units::{DiskAddr, InodeNumber, Lsn},
    },
    inode::encode::Image,
    items::{IntentId, Item},
    log::items::Items,
    store::{Device, Run},
    trans::{BlockState, ChunkMap, InodeFields},
};
use std::collections::{BTreeMap, BTreeSet};

/// Names a block: its device, first address, and length in basic blocks. One that was freed and one
/// of another length in its place are two.
pub type Name = (Device, DiskAddr, u32);

/// The name of the block that is made of these runs.
pub fn name_of(device: Device, runs: &[Run]) -> Name {
    let len = runs.iter().map(|run| run.len).sum();
    (device, runs[0].at, len)
}

/// A block that is not in its place.
pub struct DirtyBlock {
    pub runs: Vec<Run>,
    pub kind: Kind,
    /// Logged, ordered, or invalid.
    pub state: BlockState,
    /// All that was changed since it was in its place: each checkpoint has all of it, so that the
    /// earlier ones are not needed.
    pub chunks: ChunkMap,
    /// The record with its last change; none before that is written.
    pub lsn: Option<Lsn>,
}

/// An inode that is not in its place.
pub struct DirtyInode {
    /// Its cluster.
    pub cluster: Run,
    /// All that was changed since it was in its place.
    pub fields: InodeFields,
    /// What is logged of it.
    pub image: Image,
    pub lsn: Option<Lsn>,
}

/// What the open checkpoint has.
#[derive(Default)]
pub struct Open {
    pub blocks: BTreeSet<Name>,
    pub inodes: BTreeSet<InodeNumber>,
    pub items: Vec<Item>,
    pub transactions: u32,
    /// About how many bytes of the log it takes.
    pub bytes: u64,
}

/// All that is not in its place.
#[derive(Default)]
pub struct Dirty {
    pub open: Open,
    pub blocks: BTreeMap<Name, DirtyBlock>,
    pub inodes: BTreeMap<InodeNumber, DirtyInode>,
    /// Intents that have no answer in the log.
    pub intents: BTreeMap<(ItemKind, IntentId), Lsn>,
}

fn kind_of(item: &Item) -> Option<(ItemKind, IntentId)> {
    match item {
        Item::Intent(id, work) | Item::Done(id, work) => work.kind().map(|kind| (kind, *id)),
        Item::InodeCreate(_) => None,
    }
}

impl Dirty {
    /// Whether a transaction freed that block, and none took it again.
    pub fn is_freed(&self, cluster: Run) -> bool {
        let block = self.blocks.get(&name_of(Device::Data, &[cluster]));
        block.is_some_and(|block| block.state == BlockState::Invalid)
    }

    /// Takes in what a transaction did to a block.
    pub fn block(
        &mut self,
        (device, runs): (Device, &[Run]),
        kind: Kind,
        (state, chunks): (BlockState, &ChunkMap),
    ) {
        let name = name_of(device, runs);
        let block = self.blocks.entry(name).or_insert_with(|| DirtyBlock {
            runs: runs.to_vec(),
            kind,
            state,
            chunks: ChunkMap::new(),
            lsn: None,
        });
        block.kind = kind;
        block.runs = runs.to_vec();
        match (block.state, state) {
            (_, BlockState::Invalid) => {
                block.chunks = ChunkMap::new();
                block.state = state;
                // Where it was a cluster, its inodes are gone with it.
                let open = &mut self.open.inodes;
                self.inodes.retain(|number, inode| {
                    let gone = name_of(Device::Data, &[inode.cluster]) == name;
                    if gone {
                        open.remove(number);
                    }
                    !gone
                });
            }
            // Once it is logged, it is logged until it is written.
            (BlockState::Logged, BlockState::Ordered) => {}
            (_, state) => {
                block.chunks.merge(chunks);
                block.state = state;
            }
        }
        self.open.blocks.insert(name);
        self.open.bytes += 128 * (u64::from(block.chunks.count()) + 1);
    }

    /// Takes in an item. An intent that is answered within a checkpoint need not be logged.
    pub fn item(&mut self, item: &Item) -> Result {
        let answered = match item {
            Item::Done(..) => self.open.items.iter().position(|open| {
                matches!(open, Item::Intent(..)) && kind_of(open) == kind_of(item)
            }),
            _ => None,
        };
        if let Some(index) = answered {
            self.open.items.remove(index);
            return Ok(());
        }
        self.open.bytes += u64::from(item.log_bytes());
        self.open.items.push(match item {
            Item::Intent(id, work) => Item::Intent(*id, work.try_clone()?),
            Item::Done(id, work) => Item::Done(*id, work.try_clone()?),
            Item::InodeCreate(inodes) => Item::InodeCreate(*inodes),
        });
        Ok(())
    }

    /// The open checkpoint as it is logged. `bytes` reads a block.
    pub fn format(&self, bytes: impl Fn(&Name, &DirtyBlock) -> Result<Vec<u8>>) -> Result<Items> {
        let mut items = Items::new();
        for name in &self.open.blocks {
            let block = &self.blocks[name];
            match block.state {
                BlockState::Logged => {
                    items.block(block.kind, &block.runs, &block.chunks, &bytes(name, block)?)?;
                }
                BlockState::Invalid => items.freed(&block.runs)?,
                BlockState::Ordered | BlockState::Clean => {}
            }
        }
        for number in &self.open.inodes {
            items.inode(&self.inodes[number].image.item())?;
        }
        for item in &self.open.items {
            items.item(item)?;
        }
        Ok(items)
    }

    /// The open checkpoint was written at `lsn`.
    pub fn written(&mut self, lsn: Lsn) {
        let open = std::mem::take(&mut self.open);
        for name in open.blocks {
            let block = self.blocks.get_mut(&name).expect("it is dirty");
            block.lsn = Some(lsn);
            if block.state == BlockState::Invalid {
                self.blocks.remove(&name);
            }
        }
        for number in open.inodes {
            self.inodes.get_mut(&number).expect("it is dirty").lsn = Some(lsn);
        }
        for item in &open.items {
            let Some(name) = kind_of(item) else {
                continue;
            };
            if matches!(item, Item::Done(..)) {
                self.intents.remove(&name);
            } else {
                self.intents.insert(name, lsn);
            }
        }
    }

    /// The oldest record that is needed; none if all is in its place.
    pub fn tail(&self) -> Option<Lsn> {
        let blocks = self.blocks.values().filter_map(|block| block.lsn);
        let inodes = self.inodes.values().filter_map(|inode| inode.lsn);
        let intents = self.intents.values().copied();
        blocks.chain(inodes).chain(intents).min()
    }

    /// The blocks that may be written: the log has all of what was changed in them. Each with its
    /// runs, in their order; clusters of inodes are among them.
    pub fn writable(&self) -> Vec<(Name, Vec<Run>)> {
        let mut writable = BTreeMap::new();
        for (name, block) in &self.blocks {
            if block.lsn.is_some() && !self.open.blocks.contains(name) {
                writable.insert(*name, block.runs.clone());
            }
        }
        for inode in self.inodes.values().filter(|inode| inode.lsn.is_some()) {
            let name = name_of(Device::Data, &[inode.cluster]);
            if !self.open.blocks.contains(&name) {
                writable.insert(name, vec![inode.cluster]);
            }
        }
        for number in &self.open.inodes {
            writable.remove(&name_of(Device::Data, &[self.inodes[number].cluster]));
        }
        writable.into_iter().collect()
    }

    /// A block is in its place.
    pub fn in_place(&mut self, name: &Name) {
        self.blocks.remove(name);
        self.inodes
            .retain(|_, inode| name_of(Device::Data, &[inode.cluster]) != *name);
    }
}
