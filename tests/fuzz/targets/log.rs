// SPDX-License-Identifier: GPL-2.0

//! Any log is told clean, dirty or corrupt.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use xfs_fuzz::{bases, seeds, SHAPES};
use xfs_host::{
    image::{ImageStore, Overlay},
    libxfs::{
        log,
        store::{Device, Store},
    },
    mutation::{Bytes, Choices},
};

fuzz_target!(init: seeds::choices(), |input: &[u8]| {
    let mut choices = Bytes(input);
    let shape = choices.below(SHAPES.len());
    bases().with(|bases| {
        let base = &bases[shape];
        let geo = &base.geometry;
        let mut disks = base.disks.clone();
        let (device, start) = match geo.log_start.and_then(|start| geo.fs_block_addr(start)) {
            Some(start) => (Device::Data, start.0 * 512),
            None => (Device::Log, 0),
        };
        let disk = match device {
            Device::Data => &mut disks.data,
            _ => disks.log.as_mut().expect("the log is somewhere"),
        };
        let mut overlay = Overlay::new(disk.clone());
        let sectors = u64::from(geo.log_blocks) * u64::from(geo.block_size) / 512;
        while !choices.0.is_empty() {
            // Near either end, or anywhere.
            let near = choices.below(64) as u64;
            let sector = match choices.below(4) {
                0 | 1 => near,
                2 => sectors - 1 - near,
                _ => choices.word() % sectors,
            };
            let at = start + sector * 512 + 4 * choices.below(128) as u64;
            let word = match choices.below(3) {
                0 => 0xfeed_babe_u32,
                1 => choices.below(16) as u32,
                _ => choices.word() as u32,
            };
            // What is past the device stays as it is.
            let _ = overlay.write_at(at, &word.to_be_bytes());
        }
        *disk = Arc::new(overlay);
        let store = ImageStore::with_geometry(disks, geo.clone());
        store.set_budget(sectors * 4);
        let _ = log::state(&store);
        assert!(!store.exhausted(), "reads without end");
        assert!(store.geometry().log_blocks > 0);
    });
});
