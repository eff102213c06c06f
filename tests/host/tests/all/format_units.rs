// SPDX-License-Identifier: GPL-2.0

//! Formats that can be checked without an image.

use xfs_host::libxfs::format::{
    btree::{bmap, BmapRecord, InodeChunk, Owner},
    crc,
    units::{AgInode, FileBlock},
};

#[test]
fn crc32c_of_the_standard_check_string() {
    assert_eq!(!crc::update(u32::MAX, b"123456789"), 0xe306_9283);
}

#[test]
fn crc_is_the_same_however_the_bytes_are_cut() {
    let bytes: Vec<u8> = (0..4099u32).map(|i| (i * 7 + i / 251) as u8).collect();
    let whole = crc::update(1, &bytes);
    for cut in [0, 1, 7, 8, 9, 100, 4098, 4099] {
        let (a, b) = bytes.split_at(cut);
        assert_eq!(crc::update(crc::update(1, a), b), whole);
    }
}

#[test]
fn block_crc_ignores_the_field_itself() {
    let mut bytes = vec![7u8; 512];
    crc::set_block_crc(&mut bytes, 52);
    assert!(crc::block_crc_is_good(&bytes, 52));
    for at in [0usize, 51, 56, 511] {
        bytes[at] ^= 1;
        assert!(!crc::block_crc_is_good(&bytes, 52), "byte {at}");
        bytes[at] ^= 1;
    }
    assert!(!crc::block_crc_is_good(&bytes, 509));
    assert!(!crc::block_crc_is_good(&bytes, usize::MAX));
}

#[test]
fn extent_records_keep_every_bit_of_their_fields() {
    for record in [
        BmapRecord {
            offset: FileBlock((1 << 54) - 1),
            start: (1 << 52) - 1,
            count: bmap::MAX_EXTENT_BLOCKS,
            unwritten: true,
        },
        BmapRecord {
            offset: FileBlock(0x2a_aaaa_aaaa_aaaa),
            start: 0x5_5555_5555_5555,
            count: 0x15_5555,
            unwritten: false,
        },
        BmapRecord {
            offset: FileBlock(1),
            start: 1,
            count: 1,
            unwritten: false,
        },
    ] {
        assert_eq!(BmapRecord::decode(&record.encode()), record);
    }
    let disk = BmapRecord {
        offset: FileBlock(3),
        start: 1 << 43 | 5,
        count: 2,
        unwritten: true,
    }
    .encode();
    assert_eq!(disk.high.get(), 1 << 63 | 3 << 9 | 1);
    assert_eq!(disk.low.get(), 5 << 21 | 2);
}

#[test]
fn holes_of_a_sparse_chunk_are_neither_free_nor_used() {
    let chunk = InodeChunk {
        start: AgInode(128),
        holes: 0xff00,
        count: 32,
        free_count: 31,
        free: !1,
    };
    assert_eq!(chunk.present(), 0xffff_ffff);
    assert_eq!(chunk.available(), 0xffff_fffe);
    assert!(chunk.is_allocated(0));
    assert!(!chunk.is_allocated(1));
    assert!(!chunk.is_present(32));
    assert!(!chunk.is_allocated(64));
    assert_eq!(chunk.index_of(AgInode(191)), Some(63));
    assert_eq!(chunk.index_of(AgInode(192)), None);
    assert_eq!(chunk.index_of(AgInode(127)), None);
}

#[test]
fn owners_decode_to_what_they_encode() {
    for raw in (0..12).map(|n| u64::MAX - n).chain([0, 128, u64::MAX >> 1]) {
        if let Some(owner) = Owner::decode(raw) {
            assert_eq!(owner.encode(), raw);
        } else {
            assert!(raw >> 63 == 1 && raw < u64::MAX - 8);
        }
    }
}
