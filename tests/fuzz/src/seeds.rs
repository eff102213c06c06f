// SPDX-License-Identifier: GPL-2.0

//! Inputs to start from, made from the images: where `XFS_FUZZ_SEEDS` names a folder, a target puts
//! them there before it begins.

use crate::{bases, run_bytes, Block, KINDS};
use std::{
    collections::BTreeSet,
    env, fs, io,
    path::{Path, PathBuf},
};
use xfs_host::{
    libxfs::{format::units::BASIC_BLOCK_SIZE, store::Device},
    mutation::{Choices, Seeded},
};

/// Blocks of each kind of structure that are taken from an image.
const EACH: usize = 3;
/// Choices of mutations.
const WALKS: u64 = 64;

/// The folder for seeds, if they are asked for.
fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(env::var_os("XFS_FUZZ_SEEDS")?);
    fs::create_dir_all(&folder).ok()?;
    Some(folder)
}

/// Puts down metadata blocks of every kind.
///
/// # Panics
///
/// When that is asked for and cannot be done.
pub fn blocks() {
    if let Some(folder) = folder() {
        write_blocks(&folder).expect("seeds are written");
    }
}

/// Puts down choices.
///
/// # Panics
///
/// When that is asked for and cannot be done.
pub fn choices() {
    if let Some(folder) = folder() {
        for seed in 0..WALKS {
            let mut choices = Seeded(seed);
            let input: Vec<u8> = (0..6).flat_map(|_| choices.word().to_le_bytes()).collect();
            fs::write(folder.join(seed.to_string()), input).expect("seeds are written");
        }
    }
}

fn write_blocks(folder: &Path) -> io::Result<()> {
    bases().with(|bases| {
        for (shape, base) in bases.iter().enumerate() {
            for structures in base.catalogue.kinds() {
                let buffers: BTreeSet<u64> = structures
                    .iter()
                    .filter(|structure| structure.device == Device::Data)
                    .map(|structure| structure.runs[0].at.0)
                    .collect();
                for at in buffers.into_iter().take(EACH) {
                    let structure = structures.iter().find(|s| s.runs[0].at.0 == at);
                    let Some(structure) = structure else {
                        continue;
                    };
                    let mut bytes = Vec::new();
                    for run in &structure.runs {
                        let mut part = vec![0; run_bytes(run.len)];
                        let offset = run.at.0 * u64::from(BASIC_BLOCK_SIZE);
                        base.disks.data.read_at(offset, &mut part)?;
                        bytes.extend(part);
                    }
                    let at = structure.runs[0].at;
                    // The first kind that takes it.
                    let kind = KINDS
                        .iter()
                        .position(|kind| kind.verify(&base.geometry, at, &bytes).is_ok());
                    if let Some(kind) = kind {
                        let name = format!("{shape}-{}-{:x}", structure.layout.name, at.0);
                        let block = Block {
                            shape,
                            kind,
                            at,
                            bytes,
                        };
                        let path = folder.join(name.replace(' ', "-"));
                        fs::write(path, block.encode())?;
                    }
                }
            }
        }
        Ok(())
    })
}
