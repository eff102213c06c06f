// SPDX-License-Identifier: GPL-2.0

//! Images in states that `mkfs.xfs` does not make, laid over one that it made: records put into
//! trees, inodes and counters changed, checksums set right.

use crate::check_states::{
    fixture::{named, Image},
    image::{Disk, Disks, ImageStore, Overlay},
    libxfs::{
        ag, bmap, dir,
        format::{
            ag::{agf::DiskAgf, AGF_SECTOR},
            btree::{BmapRecord, FreeExtent, Node, Pointer, Tree},
            crc,
            geometry::Geometry,
            inode::{self, cluster, Dinode, InodeCore, CORE_SIZE},
            rt,
            sb::DiskSuperblock,
            units::{AgBlock, AgNumber, DiskAddr, FileBlock, InodeNumber, RtExtent},
        },
        inode::{Inode, Trust, WhichFork},
        store::Store,
    },
};
use std::{mem::size_of, sync::Arc};
use zerocopy::{FromBytes, IntoBytes};

/// An image under construction.
pub struct Forge {
    data: Overlay,
    rt: Option<Arc<dyn Disk>>,
    /// Its shape.
    pub geo: Geometry,
}

impl Forge {
    /// Starts on the small image of a shape.
    pub fn new(shape: &str) -> Self {
        let disks = Image::small(named(shape)).disks();
        let store = ImageStore::open(disks.clone()).unwrap();
        Self {
            data: Overlay::new(disks.data),
            rt: disks.rt,
            geo: store.geometry().clone(),
        }
    }

    /// The image's devices.
    pub fn disks(&self) -> Disks {
        Disks {
            data: Arc::new(self.data.clone()),
            log: None,
            rt: self.rt.clone(),
        }
    }

    /// Where the data device was changed.
    pub fn changes(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.data.changes()
    }

    /// The image as it is now.
    pub fn store(&self) -> ImageStore {
        ImageStore::with_geometry(self.disks(), self.geo.clone())
    }

    fn read(&self, at: DiskAddr, len: u32) -> Vec<u8> {
        let mut bytes = vec![0; len as usize];
        self.data.read_at(at.0 * 512, &mut bytes).unwrap();
        bytes
    }

    fn write(&mut self, at: DiskAddr, bytes: &[u8]) {
        self.data.write_at(at.0 * 512, bytes).unwrap();
    }

    /// The inode of a path.
    pub fn lookup(&self, path: &[&str]) -> Inode {
        let store = self.store();
        let read = |number| {
            let mut inode = Inode::read(&store, number, Trust::Trusted).unwrap();
            inode.load_extents(&store, WhichFork::Data).unwrap();
            inode
        };
        let mut at = read(self.geo.root_inode);
        for name in path {
            at = read(dir::lookup(&store, &at, name.as_bytes()).unwrap().inode);
        }
        at
    }

    /// Changes an inode's core and its data fork.
    pub fn inode(&mut self, number: InodeNumber, edit: impl FnOnce(&mut InodeCore, &mut [u8])) {
        let place = cluster::place(&self.geo, number).unwrap();
        let block = self.geo.ag_block_addr(place.ag, place.block).unwrap();
        let at = DiskAddr(block.0 + u64::from(place.index * self.geo.inode_size) / 512);
        let mut bytes = self.read(at, self.geo.inode_size);
        let mut core = Dinode::verified(&self.geo, number, &bytes).unwrap().core();
        edit(&mut core, &mut bytes[CORE_SIZE..]);
        let raw = core.to_raw(&self.geo, number);
        bytes[..CORE_SIZE].copy_from_slice(raw.as_bytes());
        inode::seal(&mut bytes);
        self.write(at, &bytes);
    }

    /// Gives an inode these mappings, of so many blocks in all, and no others.
    pub fn map(&mut self, number: InodeNumber, records: &[BmapRecord]) {
        let block_size = u64::from(self.geo.block_size);
        self.inode(number, |core, fork| {
            core.nextents = records.len() as u64;
            core.nblocks = records.iter().map(|r| u64::from(r.count)).sum();
            core.size = records.last().map_or(0, |last| last.end().0) * block_size;
            for (record, place) in records.iter().zip(fork.chunks_exact_mut(16)) {
                place.copy_from_slice(record.encode().as_bytes());
            }
        });
    }

    /// Changes the records of a group's tree that has its root as its only leaf.
    pub fn tree<T>(
        &mut self,
        ag: AgNumber,
        root: fn(&DiskAgf) -> (AgBlock, u32),
        edit: impl FnOnce(&mut Vec<T::Record>),
    ) where
        T: Tree<Pointer = AgBlock, Scope = AgNumber>,
    {
        let (root, levels) = root(&ag::read_agf(&self.store(), ag).unwrap());
        assert_eq!(levels, 1, "the {} has more blocks than its root", T::NAME);
        let at = self.geo.ag_block_addr(ag, root).unwrap();
        let mut bytes = self.read(at, self.geo.block_size);
        let node = Node::<T>::of_block(&bytes).unwrap();
        let mut records: Vec<T::Record> = (0..node.count())
            .map(|index| node.record(&self.geo, index).unwrap().unwrap())
            .collect();
        edit(&mut records);
        records.sort_by_key(|record| T::key(record));
        let size = size_of::<T::DiskRecord>();
        let body = &mut bytes[T::Pointer::HEADER_SIZE..];
        for (record, place) in records.iter().zip(body.chunks_exact_mut(size)) {
            place.copy_from_slice(T::encode_record(&self.geo, record).as_bytes());
        }
        bytes[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        crc::set_block_crc(&mut bytes, T::Pointer::CRC_OFFSET);
        self.write(at, &bytes);
    }

    /// Changes the records of a tree that an inode's fork holds all of.
    pub fn fork_tree<T: Tree>(
        &mut self,
        number: InodeNumber,
        edit: impl FnOnce(&mut Vec<T::Record>),
    ) {
        let geo = self.geo.clone();
        self.inode(number, |_, fork| {
            let node = Node::<T>::of_root(fork).unwrap();
            assert!(node.is_leaf());
            let mut records: Vec<T::Record> = (0..node.count())
                .map(|index| node.record(&geo, index).unwrap().unwrap())
                .collect();
            edit(&mut records);
            records.sort_by_key(|record| T::key(record));
            let size = size_of::<T::DiskRecord>();
            for (record, place) in records.iter().zip(fork[4..].chunks_exact_mut(size)) {
                place.copy_from_slice(T::encode_record(&geo, record).as_bytes());
            }
            fork[2..4].copy_from_slice(&(records.len() as u16).to_be_bytes());
        });
    }

    /// Changes the free-space header of a group.
    pub fn agf(&mut self, ag: AgNumber, edit: impl FnOnce(&mut DiskAgf)) {
        let at = self.geo.ag_header_addr(ag, AGF_SECTOR).unwrap();
        let mut bytes = self.read(at, self.geo.sector_size);
        edit(DiskAgf::mut_from_prefix(&mut bytes).unwrap().0);
        crc::set_block_crc(&mut bytes, std::mem::offset_of!(DiskAgf, crc));
        self.write(at, &bytes);
    }

    /// Changes the superblock.
    pub fn superblock(&mut self, edit: impl FnOnce(&mut DiskSuperblock)) {
        let mut bytes = self.read(DiskAddr(0), self.geo.sector_size);
        edit(DiskSuperblock::mut_from_prefix(&mut bytes).unwrap().0);
        crc::set_block_crc(&mut bytes, std::mem::offset_of!(DiskSuperblock, crc));
        self.write(DiskAddr(0), &bytes);
    }

    /// Takes `count` blocks from the end of a group's longest free extent; the first of them.
    pub fn allocate(&mut self, ag: AgNumber, count: u32) -> AgBlock {
        use crate::check_states::libxfs::format::btree::{Bno, Cnt};
        let mut taken = None;
        let mut longest = 0;
        let mut shorten = |records: &mut Vec<FreeExtent>| {
            let extent = records
                .iter_mut()
                .max_by_key(|extent| extent.count)
                .unwrap();
            extent.count -= count;
            taken = Some(extent.end());
            longest = records.iter().map(|extent| extent.count).max().unwrap();
        };
        self.tree::<Bno>(ag, DiskAgf::bno, &mut shorten);
        self.tree::<Cnt>(ag, DiskAgf::cnt, &mut shorten);
        self.agf(ag, |agf| {
            agf.freeblks.set(agf.freeblks.get() - count);
            agf.longest.set(longest);
        });
        self.superblock(|sb| sb.fdblocks.set(sb.fdblocks.get() - u64::from(count)));
        taken.unwrap()
    }

    /// Changes a word of a bitmap or a summary.
    fn word(&mut self, file: &Inode, block: u64, index: u64, edit: impl FnOnce(u32) -> u32) {
        let runs = bmap::runs(&self.geo, file, WhichFork::Data, FileBlock(block), 1);
        let at = runs.unwrap().unwrap()[0].at;
        let mut bytes = self.read(at, self.geo.block_size);
        let headers = self.geo.features.metadir();
        let place = if headers { 48 } else { 0 } + 4 * index as usize;
        let field: &mut [u8; 4] = (&mut bytes[place..place + 4]).try_into().unwrap();
        if headers {
            *field = edit(u32::from_be_bytes(*field)).to_be_bytes();
            crc::set_block_crc(&mut bytes, 4);
        } else {
            *field = edit(u32::from_ne_bytes(*field)).to_ne_bytes();
        }
        self.write(at, &bytes);
    }

    /// Sets an extent in use in a realtime bitmap.
    pub fn take_bit(&mut self, bitmap: &Inode, extent: u64) {
        let (block, bit) = rt::bitmap_position(&self.geo, RtExtent(extent));
        self.word(bitmap, block, bit / 32, |word| word & !(1 << (bit % 32)));
    }

    /// Adds to the count of free runs of `len` that start with `extent`.
    pub fn count_run(&mut self, summary: &Inode, extent: u64, len: u64, add: i32) {
        let (block, _) = rt::bitmap_position(&self.geo, RtExtent(extent));
        let (at, index) = rt::summary_position(&self.geo, len.ilog2(), block).unwrap();
        self.word(summary, at, index, |count| count.wrapping_add_signed(add));
    }
}
