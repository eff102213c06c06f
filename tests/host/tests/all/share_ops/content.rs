// SPDX-License-Identifier: GPL-2.0

//! What files hold: written and read past the journal, block by block.

use crate::share_ops::world::World;
use xfs_host::{
    journal::SyncJournal,
    libxfs::{
        bmap::{self, ForkMut, Unmapped},
        defer::Chain,
        extents::{Mapping, Segment, State},
        format::{
            inode::flags::{Flags, Flags2},
            units::{FileBlock, InodeNumber},
        },
        inode::WhichFork,
        journal::Claim,
        space::Groups,
        store::Store,
        trans::{InodeFields, InodeId, Trans},
    },
};

/// Blocks of maps' trees that a change may take.
const TREE: u64 = 40;

impl World {
    pub fn block_size(&self) -> usize {
        self.journal.geometry().block_size as usize
    }

    /// A chain that holds an inode and may take so much.
    fn chain(&self, number: InodeNumber, claim: Claim) -> (Chain<'_, SyncJournal>, InodeId) {
        let claim = Claim {
            blocks: claim.blocks + TREE,
            ..claim
        };
        let mut trans =
            Trans::start(&self.journal, self.files().reservations.write, claim).unwrap();
        let id = trans.hold_inode(number).unwrap();
        (Chain::new(trans).unwrap(), id)
    }

    /// Has a file that is empty lie on the realtime device.
    pub fn make_realtime(&self, number: InodeNumber) {
        let (mut chain, id) = self.chain(number, Claim::default());
        let (trans, _) = chain.parts();
        let core = &mut trans.change_inode(id, InodeFields::CORE).unwrap().core;
        core.flags = Flags(core.flags.0 | Flags::REALTIME);
        chain.commit(&mut Groups).unwrap();
    }

    /// Gives a file extent size hints, in blocks; 0 is none.
    pub fn set_hints(&self, number: InodeNumber, data: u32, staged: u32) {
        let (mut chain, id) = self.chain(number, Claim::default());
        let (trans, _) = chain.parts();
        let core = &mut trans.change_inode(id, InodeFields::CORE).unwrap().core;
        if data != 0 {
            core.extsize = data;
            core.flags = Flags(core.flags.0 | Flags::EXTSIZE);
        }
        if staged != 0 {
            core.cowextsize = staged;
            core.flags2 = Flags2(core.flags2.0 | Flags2::COWEXTSIZE);
        }
        chain.commit(&mut Groups).unwrap();
    }

    /// Frees `from..end`.
    pub fn punch(&self, number: InodeNumber, from: u64, end: u64) {
        let (mut chain, id) = self.chain(number, Claim::default());
        let (from, mut left) = (FileBlock(from), FileBlock(end));
        while left > from {
            let (trans, deferred) = chain.parts();
            let mut fork = ForkMut::new(trans, deferred, id, WhichFork::Data).unwrap();
            left = fork.unmap(from, left, Unmapped::Freed, 2).unwrap();
            chain.finish(&mut Groups).unwrap();
            chain.parts().0.roll().unwrap();
        }
        chain.commit(&mut Groups).unwrap();
    }

    /// Makes a file shorter, to whole blocks.
    pub fn truncate(&self, number: InodeNumber, blocks: u64) {
        let (mut chain, id) = self.chain(number, Claim::default());
        let size = blocks * self.block_size() as u64;
        let (trans, _) = chain.parts();
        let core = &mut trans.change_inode(id, InodeFields::CORE).unwrap().core;
        core.size = core.size.min(size);
        let fork = WhichFork::Data;
        bmap::truncate(&mut chain, &mut Groups, id, fork, FileBlock(blocks)).unwrap();
        chain.commit(&mut Groups).unwrap();
    }

    /// Allocates blocks for a hole as far as there are together. Returns the mapping.
    pub fn allocate(&self, number: InodeNumber, from: u64, len: u64) -> Mapping {
        let inode = self.inode(number);
        let geo = self.journal.geometry();
        let claim = bmap::allocation_claim(geo, &inode, FileBlock(from), len);
        let (mut chain, id) = self.chain(number, claim);
        let (trans, deferred) = chain.parts();
        let mut fork = ForkMut::new(trans, deferred, id, WhichFork::Data).unwrap();
        let range = (1, len as u32);
        let found = fork.allocate(FileBlock(from), range, State::Unwritten);
        let found = found.unwrap().expect("there is space");
        assert!(found.offset.0 <= from && from < found.end().0);
        chain.commit(&mut Groups).unwrap();
        found
    }

    /// Writes to a file from a block on; it grows to hold all of it.
    pub fn write(&self, number: InodeNumber, from: u64, bytes: &[u8]) {
        let block = self.block_size();
        let mut whole = bytes.to_vec();
        whole.resize(bytes.len().next_multiple_of(block), 0);
        let end = from + (whole.len() / block) as u64;
        // Nobody else sees what is written then.
        self.punch(number, from, end);
        let mut at = from;
        while at < end {
            let inode = self.inode(number);
            let map = inode.extents(WhichFork::Data).unwrap();
            let found = match map.segment(FileBlock(at), end - at).unwrap() {
                Segment::Hole { len, .. } => self.allocate(number, at, len),
                Segment::Mapped(mapping) => mapping,
            };
            assert_eq!(found.state, State::Unwritten);
            let part = found.trimmed(FileBlock(at), FileBlock(end)).unwrap();
            let device = inode.device(WhichFork::Data);
            let addr = bmap::disk_addr(self.journal.geometry(), device, part.start).unwrap();
            let first = (at - from) as usize * block;
            let content = &whole[first..first + part.len as usize * block];
            self.journal
                .store()
                .disks()
                .write(device, addr, content)
                .unwrap();
            let (mut chain, id) = self.chain(number, Claim::default());
            let (trans, deferred) = chain.parts();
            let mut fork = ForkMut::new(trans, deferred, id, WhichFork::Data).unwrap();
            fork.set_state(part.offset, part.end(), State::Normal)
                .unwrap();
            chain.commit(&mut Groups).unwrap();
            at = part.end().0;
        }
        let (mut chain, id) = self.chain(number, Claim::default());
        let (trans, _) = chain.parts();
        let core = &mut trans.change_inode(id, InodeFields::CORE).unwrap().core;
        core.size = core.size.max(from * block as u64 + bytes.len() as u64);
        chain.commit(&mut Groups).unwrap();
    }

    /// All that a file holds.
    pub fn read(&self, number: InodeNumber) -> Vec<u8> {
        let block = self.block_size();
        let inode = self.inode(number);
        let size = inode.core.size as usize;
        let mut bytes = vec![0; size.next_multiple_of(block)];
        let device = inode.device(WhichFork::Data);
        for mapping in inode.extents(WhichFork::Data).unwrap().iter() {
            let end = FileBlock((bytes.len() / block) as u64);
            let Some(part) = mapping.trimmed(FileBlock(0), end) else {
                continue;
            };
            if part.state == State::Normal {
                let addr = bmap::disk_addr(self.journal.geometry(), device, part.start).unwrap();
                let first = part.offset.0 as usize * block;
                let room = &mut bytes[first..first + part.len as usize * block];
                self.journal
                    .store()
                    .disks()
                    .read(device, addr, room)
                    .unwrap();
            }
        }
        assert!(
            bytes[size..].iter().all(|&byte| byte == 0),
            "behind the end of {number}"
        );
        bytes.truncate(size);
        bytes
    }

    /// Which blocks of a file are written, up to its end.
    pub fn written(&self, number: InodeNumber) -> Vec<bool> {
        let inode = self.inode(number);
        let map = inode.extents(WhichFork::Data).unwrap();
        let blocks = inode.core.size.div_ceil(self.block_size() as u64);
        let state = |block| map.get(FileBlock(block)).map(|found| found.state);
        (0..blocks)
            .map(|block| state(block) == Some(State::Normal))
            .collect()
    }
}
