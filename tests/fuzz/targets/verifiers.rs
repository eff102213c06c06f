// SPDX-License-Identifier: GPL-2.0

//! A block of any kind whose checksum is right is found good or bad by its verifier, no more.

#![no_main]

use libfuzzer_sys::fuzz_target;
use xfs_fuzz::{bases, seeds, Block, KINDS};
use xfs_host::libxfs::{
    format::{kind::Kind, units::InodeNumber},
    inode::Inode,
};

fuzz_target!(init: seeds::blocks(), |input: &[u8]| {
    let Some(mut block) = Block::decode(input) else {
        return;
    };
    bases().with(|bases| {
        let geo = &bases[block.shape].geometry;
        block.complete(geo);
        let kind = KINDS[block.kind];
        if kind.verify(geo, block.at, &block.bytes).is_err() {
            return;
        }
        // A cluster's verifier leaves most of an inode to whoever uses it.
        if kind == Kind::InodeCluster {
            for inode in block.bytes.chunks_exact(geo.inode_size as usize) {
                let number = inode[152..160].try_into().map_or(0, u64::from_be_bytes);
                let _ = Inode::parse(geo, InodeNumber(number), inode);
            }
        }
    });
});
