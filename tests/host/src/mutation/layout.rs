// SPDX-License-Identifier: GPL-2.0

//! Where the fields of every metadata structure lie, and where its checksum does.
//!
//! Written apart from libxfs's own views, from the same sources: `xfs_format.h`,
//! `xfs_da_format.h` and `xfs_log_format.h` of Linux 7.3 (layouts alone).

use crate::libxfs::format::crc;

/// A field: its name, its first byte and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name in the format.
    pub name: &'static str,
    /// First byte in the structure.
    pub at: usize,
    /// Bytes: 1, 2, 4 or 8 are a big-endian number, others a string of bytes.
    pub len: usize,
}

/// How a structure of a kind is laid out.
#[derive(Debug)]
pub struct Layout {
    /// Name of the kind.
    pub name: &'static str,
    /// First byte and bytes of the magic number.
    pub magic: (usize, &'static [u8]),
    /// First byte of the CRC32c; it is little-endian.
    pub crc: usize,
    /// Fields of the header.
    pub fields: &'static [Field],
    /// First byte of what follows the header: records, entries, names.
    pub body: usize,
    /// Fields of one record of the body, if all records are alike.
    pub record: &'static [Field],
    /// How much of the buffer one structure takes.
    pub extent: Extent,
}

/// How many structures lie in one buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One.
    Whole,
    /// One in each block of the file system.
    Block,
    /// One in each inode's place.
    Inode,
    /// One in each so many bytes.
    Bytes(usize),
}

const fn f(name: &'static str, at: usize, len: usize) -> Field {
    Field { name, at, len }
}

/// Fields of a B+tree block with 32-bit pointers.
const SHORT: &[Field] = &[
    f("magic", 0, 4),
    f("level", 4, 2),
    f("numrecs", 6, 2),
    f("leftsib", 8, 4),
    f("rightsib", 12, 4),
    f("blkno", 16, 8),
    f("lsn", 24, 8),
    f("uuid", 32, 16),
    f("owner", 48, 4),
];

/// Fields of a B+tree block with 64-bit pointers.
const LONG: &[Field] = &[
    f("magic", 0, 4),
    f("level", 4, 2),
    f("numrecs", 6, 2),
    f("leftsib", 8, 8),
    f("rightsib", 16, 8),
    f("blkno", 24, 8),
    f("lsn", 32, 8),
    f("uuid", 40, 16),
    f("owner", 56, 8),
    f("pad", 68, 4),
];

const fn short(name: &'static str, magic: &'static [u8], record: &'static [Field]) -> Layout {
    Layout {
        name,
        magic: (0, magic),
        crc: 52,
        fields: SHORT,
        body: 56,
        record,
        extent: Extent::Whole,
    }
}

const fn long(name: &'static str, magic: &'static [u8], record: &'static [Field]) -> Layout {
    Layout {
        name,
        magic: (0, magic),
        crc: 64,
        fields: LONG,
        body: 72,
        record,
        extent: Extent::Whole,
    }
}

const ALLOC: &[Field] = &[f("startblock", 0, 4), f("blockcount", 4, 4)];
const INO: &[Field] = &[
    f("startino", 0, 4),
    f("holemask", 4, 2),
    f("count", 6, 1),
    f("freecount", 7, 1),
    f("free", 8, 8),
];
const RMAP: &[Field] = &[
    f("startblock", 0, 4),
    f("blockcount", 4, 4),
    f("owner", 8, 8),
    f("offset", 16, 8),
];
const REFC: &[Field] = &[
    f("startblock", 0, 4),
    f("blockcount", 4, 4),
    f("refcount", 8, 4),
];
const BMAP: &[Field] = &[f("l0", 0, 8), f("l1", 8, 8)];

/// Fields of a block of a directory or of an attribute fork's tree.
macro_rules! da_fields {
    ($($field:expr),*) => {
        &[
            f("forw", 0, 4),
            f("back", 4, 4),
            f("magic", 8, 2),
            f("blkno", 16, 8),
            f("lsn", 24, 8),
            f("uuid", 32, 16),
            f("owner", 48, 8),
            f("count", 56, 2),
            $($field),*
        ]
    };
}

const fn da(
    name: &'static str,
    magic: &'static [u8],
    fields: &'static [Field],
    body: usize,
    record: &'static [Field],
) -> Layout {
    Layout {
        name,
        magic: (8, magic),
        crc: 12,
        fields,
        body,
        record,
        extent: Extent::Whole,
    }
}

/// Fields of a block of directory entries or of its free index.
macro_rules! dir_fields {
    ($($field:expr),*) => {
        &[
            f("magic", 0, 4),
            f("blkno", 8, 8),
            f("lsn", 16, 8),
            f("uuid", 24, 16),
            f("owner", 40, 8),
            $($field),*
        ]
    };
}

const DIR_DATA: &[Field] = dir_fields![
    f("bestfree[0].offset", 48, 2),
    f("bestfree[0].length", 50, 2),
    f("bestfree[1].offset", 52, 2),
    f("bestfree[1].length", 54, 2),
    f("bestfree[2].offset", 56, 2),
    f("bestfree[2].length", 58, 2)
];

const fn dir(
    name: &'static str,
    magic: &'static [u8],
    fields: &'static [Field],
    record: &'static [Field],
) -> Layout {
    Layout {
        name,
        magic: (0, magic),
        crc: 4,
        fields,
        body: 64,
        record,
        extent: Extent::Whole,
    }
}

const DIR_LEAF: &[Field] = da_fields![f("stale", 58, 2)];
const LEAF_ENTRY: &[Field] = &[f("hashval", 0, 4), f("address", 4, 4)];

const REMOTE: &[Field] = &[
    f("magic", 0, 4),
    f("offset", 4, 4),
    f("bytes", 8, 4),
    f("uuid", 16, 16),
    f("owner", 32, 8),
    f("blkno", 40, 8),
    f("lsn", 48, 8),
];

const fn remote(name: &'static str, magic: &'static [u8], extent: Extent) -> Layout {
    Layout {
        name,
        magic: (0, magic),
        crc: 12,
        fields: REMOTE,
        body: 56,
        record: &[],
        extent,
    }
}

const RT_BLOCK: &[Field] = &[
    f("magic", 0, 4),
    f("owner", 8, 8),
    f("blkno", 16, 8),
    f("lsn", 24, 8),
    f("uuid", 32, 16),
];

const RT_WORD: &[Field] = &[f("word", 0, 4)];

const fn rt_words(name: &'static str, magic: &'static [u8]) -> Layout {
    Layout {
        name,
        magic: (0, magic),
        crc: 4,
        fields: RT_BLOCK,
        body: 48,
        record: RT_WORD,
        extent: Extent::Whole,
    }
}

/// Every structure with a magic number and a checksum.
pub const LAYOUTS: &[Layout] = &[
    Layout {
        name: "superblock",
        magic: (0, b"XFSB"),
        crc: 224,
        fields: SUPERBLOCK,
        body: 304,
        record: &[],
        extent: Extent::Whole,
    },
    Layout {
        name: "agf",
        magic: (0, b"XAGF"),
        crc: 216,
        fields: AGF,
        body: 220,
        record: &[],
        extent: Extent::Whole,
    },
    Layout {
        name: "agi",
        magic: (0, b"XAGI"),
        crc: 312,
        fields: AGI,
        body: 344,
        record: &[],
        extent: Extent::Whole,
    },
    Layout {
        name: "agfl",
        magic: (0, b"XAFL"),
        crc: 32,
        fields: &[
            f("magicnum", 0, 4),
            f("seqno", 4, 4),
            f("uuid", 8, 16),
            f("lsn", 24, 8),
        ],
        body: 36,
        record: &[f("bno", 0, 4)],
        extent: Extent::Whole,
    },
    short("bnobt", b"AB3B", ALLOC),
    short("cntbt", b"AB3C", ALLOC),
    short("inobt", b"IAB3", INO),
    short("finobt", b"FIB3", INO),
    short("rmapbt", b"RMB3", RMAP),
    short("refcountbt", b"R3FC", REFC),
    long("bmbt", b"BMA3", BMAP),
    long("rtrmapbt", b"MAPR", RMAP),
    long("rtrefcountbt", b"RCNT", REFC),
    Layout {
        name: "inode",
        magic: (0, b"IN"),
        crc: 100,
        fields: INODE,
        body: 176,
        record: &[],
        extent: Extent::Inode,
    },
    dir("dir block", b"XDB3", DIR_DATA, &[]),
    dir("dir data", b"XDD3", DIR_DATA, &[]),
    dir(
        "dir free",
        b"XDF3",
        dir_fields![f("firstdb", 48, 4), f("nvalid", 52, 4), f("nused", 56, 4)],
        &[f("best", 0, 2)],
    ),
    da("dir leaf1", &[0x3d, 0xf1], DIR_LEAF, 64, LEAF_ENTRY),
    da("dir leafn", &[0x3d, 0xff], DIR_LEAF, 64, LEAF_ENTRY),
    da(
        "da node",
        &[0x3e, 0xbe],
        da_fields![f("level", 58, 2)],
        64,
        &[f("hashval", 0, 4), f("before", 4, 4)],
    ),
    da(
        "attr leaf",
        &[0x3b, 0xee],
        da_fields![
            f("usedbytes", 58, 2),
            f("firstused", 60, 2),
            f("holes", 62, 1),
            f("freemap[0].base", 64, 2),
            f("freemap[0].size", 66, 2),
            f("freemap[1].base", 68, 2),
            f("freemap[1].size", 70, 2)
        ],
        80,
        &[
            f("hashval", 0, 4),
            f("nameidx", 4, 2),
            f("flags", 6, 1),
            f("pad", 7, 1),
        ],
    ),
    remote("attr remote", b"XARM", Extent::Block),
    remote("symlink", b"XSLM", Extent::Whole),
    Layout {
        name: "dquot",
        magic: (0, b"DQ"),
        crc: 108,
        fields: DQUOT,
        body: 136,
        record: &[],
        extent: Extent::Bytes(136),
    },
    Layout {
        name: "rt superblock",
        magic: (0, b"Frog"),
        crc: 4,
        fields: &[
            f("magicnum", 0, 4),
            f("pad", 8, 4),
            f("fname", 12, 12),
            f("uuid", 24, 16),
            f("meta_uuid", 40, 16),
        ],
        body: 56,
        record: &[],
        extent: Extent::Whole,
    },
    rt_words("rt bitmap", b"BMPZ"),
    rt_words("rt summary", b"SUMY"),
];

const SUPERBLOCK: &[Field] = &[
    f("magicnum", 0, 4),
    f("blocksize", 4, 4),
    f("dblocks", 8, 8),
    f("rblocks", 16, 8),
    f("rextents", 24, 8),
    f("uuid", 32, 16),
    f("logstart", 48, 8),
    f("rootino", 56, 8),
    f("rbmino", 64, 8),
    f("rsumino", 72, 8),
    f("rextsize", 80, 4),
    f("agblocks", 84, 4),
    f("agcount", 88, 4),
    f("rbmblocks", 92, 4),
    f("logblocks", 96, 4),
    f("versionnum", 100, 2),
    f("sectsize", 102, 2),
    f("inodesize", 104, 2),
    f("inopblock", 106, 2),
    f("fname", 108, 12),
    f("blocklog", 120, 1),
    f("sectlog", 121, 1),
    f("inodelog", 122, 1),
    f("inopblog", 123, 1),
    f("agblklog", 124, 1),
    f("rextslog", 125, 1),
    f("inprogress", 126, 1),
    f("imax_pct", 127, 1),
    f("icount", 128, 8),
    f("ifree", 136, 8),
    f("fdblocks", 144, 8),
    f("frextents", 152, 8),
    f("uquotino", 160, 8),
    f("gquotino", 168, 8),
    f("qflags", 176, 2),
    f("flags", 178, 1),
    f("shared_vn", 179, 1),
    f("inoalignmt", 180, 4),
    f("unit", 184, 4),
    f("width", 188, 4),
    f("dirblklog", 192, 1),
    f("logsectlog", 193, 1),
    f("logsectsize", 194, 2),
    f("logsunit", 196, 4),
    f("features2", 200, 4),
    f("bad_features2", 204, 4),
    f("features_compat", 208, 4),
    f("features_ro_compat", 212, 4),
    f("features_incompat", 216, 4),
    f("features_log_incompat", 220, 4),
    f("spino_align", 228, 4),
    f("pquotino", 232, 8),
    f("lsn", 240, 8),
    f("meta_uuid", 248, 16),
    f("metadirino", 264, 8),
    f("rgcount", 272, 4),
    f("rgextents", 276, 4),
    f("rgblklog", 280, 1),
    f("rtstart", 288, 8),
    f("rtreserved", 296, 8),
];

const AGF: &[Field] = &[
    f("magicnum", 0, 4),
    f("versionnum", 4, 4),
    f("seqno", 8, 4),
    f("length", 12, 4),
    f("bno_root", 16, 4),
    f("cnt_root", 20, 4),
    f("rmap_root", 24, 4),
    f("bno_level", 28, 4),
    f("cnt_level", 32, 4),
    f("rmap_level", 36, 4),
    f("flfirst", 40, 4),
    f("fllast", 44, 4),
    f("flcount", 48, 4),
    f("freeblks", 52, 4),
    f("longest", 56, 4),
    f("btreeblks", 60, 4),
    f("uuid", 64, 16),
    f("rmap_blocks", 80, 4),
    f("refcount_blocks", 84, 4),
    f("refcount_root", 88, 4),
    f("refcount_level", 92, 4),
    f("lsn", 208, 8),
];

const AGI: &[Field] = &[
    f("magicnum", 0, 4),
    f("versionnum", 4, 4),
    f("seqno", 8, 4),
    f("length", 12, 4),
    f("count", 16, 4),
    f("root", 20, 4),
    f("level", 24, 4),
    f("freecount", 28, 4),
    f("newino", 32, 4),
    f("dirino", 36, 4),
    f("unlinked[0]", 40, 4),
    f("unlinked[63]", 292, 4),
    f("uuid", 296, 16),
    f("lsn", 320, 8),
    f("free_root", 328, 4),
    f("free_level", 332, 4),
    f("iblocks", 336, 4),
    f("fblocks", 340, 4),
];

const INODE: &[Field] = &[
    f("magic", 0, 2),
    f("mode", 2, 2),
    f("version", 4, 1),
    f("format", 5, 1),
    f("metatype", 6, 2),
    f("uid", 8, 4),
    f("gid", 12, 4),
    f("nlink", 16, 4),
    f("projid_lo", 20, 2),
    f("projid_hi", 22, 2),
    f("big_nextents", 24, 8),
    f("atime", 32, 8),
    f("mtime", 40, 8),
    f("ctime", 48, 8),
    f("size", 56, 8),
    f("nblocks", 64, 8),
    f("extsize", 72, 4),
    f("nextents", 76, 4),
    f("anextents", 80, 2),
    f("forkoff", 82, 1),
    f("aformat", 83, 1),
    f("dmevmask", 84, 4),
    f("dmstate", 88, 2),
    f("flags", 90, 2),
    f("gen", 92, 4),
    f("next_unlinked", 96, 4),
    f("changecount", 104, 8),
    f("lsn", 112, 8),
    f("flags2", 120, 8),
    f("cowextsize", 128, 4),
    f("pad2", 132, 4),
    f("crtime", 144, 8),
    f("ino", 152, 8),
    f("uuid", 160, 16),
];

const DQUOT: &[Field] = &[
    f("magic", 0, 2),
    f("version", 2, 1),
    f("type", 3, 1),
    f("id", 4, 4),
    f("blk_hardlimit", 8, 8),
    f("blk_softlimit", 16, 8),
    f("ino_hardlimit", 24, 8),
    f("ino_softlimit", 32, 8),
    f("bcount", 40, 8),
    f("icount", 48, 8),
    f("itimer", 56, 4),
    f("btimer", 60, 4),
    f("rtb_hardlimit", 72, 8),
    f("rtb_softlimit", 80, 8),
    f("rtbcount", 88, 8),
    f("rtbtimer", 96, 4),
    f("uuid", 120, 16),
];

impl Layout {
    /// How far apart structures of this kind lie in a buffer of `buffer` bytes.
    pub fn step(&self, buffer: usize, block_size: usize, inode_size: usize) -> usize {
        match self.extent {
            Extent::Whole => buffer,
            Extent::Block => block_size,
            Extent::Inode => inode_size,
            Extent::Bytes(n) => n,
        }
    }

    /// Sets the checksum of each structure of a buffer right.
    pub fn seal(&self, buffer: &mut [u8], block_size: usize, inode_size: usize) {
        let step = self.step(buffer.len(), block_size, inode_size);
        for structure in buffer.chunks_exact_mut(step) {
            crc::set_block_crc(structure, self.crc);
        }
    }

    /// The layout of what `bytes` begin with, by its magic number.
    pub fn of(bytes: &[u8]) -> Option<&'static Self> {
        LAYOUTS.iter().find(|layout| {
            let (at, magic) = layout.magic;
            bytes.get(at..at + magic.len()) == Some(magic) && bytes.len() >= layout.body
        })
    }
}
