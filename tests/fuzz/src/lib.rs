// SPDX-License-Identifier: GPL-2.0

//! What the fuzz targets share: real images to start from, and how an input is read.

pub mod seeds;

use kernel::alloc::faults;
use std::thread::LocalKey;
use xfs_host::{
    fixture::{named, Image},
    image::{Disks, ImageStore},
    libxfs::{
        check::check,
        format::{
            btree::TreeKind,
            geometry::Geometry,
            kind::Kind,
            rt::RtFile,
            units::{DiskAddr, BASIC_BLOCK_SIZE},
        },
        store::Store,
    },
    mutation::{layout::Layout, Catalogue},
    walk::walk,
};

/// Shapes that inputs are about: an input's first byte is an index into these.
pub const SHAPES: [&str; 8] = [
    "default",
    "block-1k",
    "block-64k",
    "dir-64k",
    "bare",
    "rt",
    "rt-groups",
    "external-log",
];

/// Kinds of block: an input of the verifiers' target names one by its index here.
pub const KINDS: [Kind; 25] = [
    Kind::Superblock,
    Kind::Agf,
    Kind::Agi,
    Kind::Agfl,
    Kind::InodeCluster,
    Kind::DirData,
    Kind::DirBlock,
    Kind::DirLeaf,
    Kind::DirTree,
    Kind::DirFree,
    Kind::AttrTree,
    Kind::AttrRemote,
    Kind::Symlink,
    Kind::Dquots,
    Kind::RtSuperblock,
    Kind::Rt(RtFile::Bitmap),
    Kind::Rt(RtFile::Summary),
    Kind::Btree(TreeKind::Bno),
    Kind::Btree(TreeKind::Cnt),
    Kind::Btree(TreeKind::Ino),
    Kind::Btree(TreeKind::Fino),
    Kind::Btree(TreeKind::Rmap),
    Kind::Btree(TreeKind::Refcount),
    Kind::Btree(TreeKind::Bmap),
    Kind::Btree(TreeKind::RtRmap),
];

/// The most that an image of these sizes gives a reason to allocate at once, in bytes.
pub const LARGEST_ALLOCATION: usize = 8 << 20;

/// An image to start from.
pub struct Base {
    /// Its devices.
    pub disks: Disks,
    /// Its shape.
    pub geometry: Geometry,
    /// Its metadata.
    pub catalogue: Catalogue,
    /// Blocks that a walk of it reads.
    pub reads: u64,
}

thread_local! {
    static BASES: [Base; SHAPES.len()] = SHAPES.map(base);
}

/// The images, in the order of [`SHAPES`].
pub fn bases() -> &'static LocalKey<[Base; SHAPES.len()]> {
    &BASES
}

fn base(name: &str) -> Base {
    let disks = Image::small(named(name)).disks();
    let store = ImageStore::open(disks.clone()).expect("mkfs.xfs makes what is opened");
    let mut reads = 0;
    let catalogue = Catalogue::of_walk(&store, |store| {
        let report = walk(store);
        assert!(report.is_clean(), "{name}: {report}");
        reads = store.reads();
    })
    .expect("an image can be read");
    Base {
        disks,
        geometry: store.geometry().clone(),
        catalogue,
        reads,
    }
}

/// A block as an input of the verifiers' target has it.
pub struct Block {
    /// Index of its shape.
    pub shape: usize,
    /// Index of its kind.
    pub kind: usize,
    /// Where it lies.
    pub at: DiskAddr,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Bytes of an input before those of the block.
const HEADER: usize = 1 + 1 + 8;

impl Block {
    /// Reads an input; `None` if it is too short.
    pub fn decode(input: &[u8]) -> Option<Self> {
        let (header, bytes) = input.split_at_checked(HEADER)?;
        let at = header.get(2..)?.try_into().ok()?;
        Some(Self {
            shape: usize::from(*header.first()?) % SHAPES.len(),
            kind: usize::from(*header.get(1)?) % KINDS.len(),
            at: DiskAddr(u64::from_le_bytes(at)),
            bytes: bytes.to_vec(),
        })
    }

    /// Writes an input.
    pub fn encode(&self) -> Vec<u8> {
        let mut input = vec![self.shape as u8, self.kind as u8];
        input.extend(self.at.0.to_le_bytes());
        input.extend(&self.bytes);
        input
    }

    /// Makes the block as long as its kind is, with zeroes, and sets its checksums right.
    pub fn complete(&mut self, geo: &Geometry) {
        let block = geo.block_size as usize;
        let sector = geo.sector_size as usize;
        let size = match KINDS[self.kind] {
            Kind::Superblock | Kind::Agf | Kind::Agi | Kind::Agfl => sector,
            Kind::DirData | Kind::DirBlock | Kind::DirLeaf | Kind::DirTree | Kind::DirFree => {
                geo.dir_block_size() as usize
            }
            Kind::InodeCluster => (geo.inode_cluster_blocks() as usize) * block,
            // Of several blocks, too.
            Kind::AttrRemote | Kind::Symlink => {
                self.bytes.len().div_ceil(block).clamp(1, 4) * block
            }
            _ => block,
        };
        self.bytes.resize(size, 0);
        let (block, inode) = (block, geo.inode_size as usize);
        if let Some(layout) = Layout::of(&self.bytes) {
            layout.seal(&mut self.bytes, block, inode);
        }
    }
}

/// Bytes of a run in basic blocks.
pub const fn run_bytes(len: u32) -> usize {
    len as usize * BASIC_BLOCK_SIZE as usize
}

/// Walks mutated disks as a target does: it must end, and ask for no more memory than there is
/// reason to.
pub fn walk_hostile(base: &Base, disks: Disks) {
    let Ok(store) = ImageStore::open(disks) else {
        return;
    };
    store.set_budget(10 * base.reads + 100_000);
    faults::reset_largest();
    walk(&store);
    assert!(!store.exhausted(), "reads without end");
    store.set_budget(10 * base.reads + 100_000);
    let checked = check(&store, &mut |_| Ok(()));
    assert_eq!(checked, Ok(()));
    assert!(
        faults::largest() <= LARGEST_ALLOCATION,
        "allocates {} bytes at once",
        faults::largest()
    );
}
