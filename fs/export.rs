// SPDX-License-Identifier: GPL-2.0

//! Handles of files, for NFS and for `open_by_handle_at`.
//!
//! Four forms, as the C driver makes and takes them: the inode alone or with its parent, each by
//! 32 or 64 bits. Source: `fs/xfs/xfs_export.[ch]` of Linux 7.3.

use super::{
    dir::child,
    icache::Want,
    inode::Inode,
    mount::Mount, //
};
use crate::{
    libxfs::{
        dir,
        format::units::InodeNumber,
        inode::{
            Trust,
            WhichFork, //
        }, //
    },
    rust::{
        bindings,
        kernel::export::{
            Exported,
            Handle, //
        }, //
    },
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// An inode by 32 bits: number, generation.
const INODE32: u32 = 1;
/// An inode and its parent by 32 bits.
const INODE32_PARENT: u32 = 2;
/// Marks the forms by 64 bits: low half of the number, high half, generation.
const WIDE: u32 = 0x80;
const INODE64: u32 = INODE32 | WIDE;
const INODE64_PARENT: u32 = INODE32_PARENT | WIDE;

fn join(low: u32, high: u32) -> InodeNumber {
    InodeNumber(u64::from(high) << 32 | u64::from(low))
}

/// The halves of an inode's number, the lower one first, and its generation.
fn numbers(node: &Inode) -> [u32; 3] {
    let number = node.number().0;
    [number as u32, (number >> 32) as u32, node.generation()]
}

/// The handle of an inode by 64 bits, without a parent: its type and words.
pub(crate) fn words_of(ino: InodeNumber, generation: u32) -> (u32, [u32; 3]) {
    (INODE64, [ino.0 as u32, (ino.0 >> 32) as u32, generation])
}

/// Finds the inode that a handle's numbers name. `ESTALE` where there is none any more.
pub(crate) fn find(mount: &Mount, ino: InodeNumber, generation: u32) -> Result<ARef<Inode>> {
    if ino.0 == 0 {
        return Err(ESTALE);
    }
    // The number is a stranger's: where it leads nowhere, or to something broken, the handle is at
    // fault.
    let lost = [EINVAL, ENOENT, ESTALE, EUCLEAN];
    let node = mount
        .inode(ino, Want::File(Trust::Untrusted))
        .map_err(|error| if lost.contains(&error) { ESTALE } else { error })?;
    if node.generation() != generation || node.is_private() {
        return Err(ESTALE);
    }
    Ok(node)
}

impl Exported for Inode {
    type FileSystem = Mount;

    unsafe fn file_system<'a>(sb: *mut bindings::super_block) -> Option<&'a Mount> {
        // SAFETY: By the caller.
        unsafe { Mount::of(sb) }
    }

    fn encode(&self, parent: Option<&Self>, to: &mut [u32]) -> Result<(u32, usize), usize> {
        // An inode number of more than 32 bits may be met unless the mount keeps to fewer, and
        // even then what was made under another mount may be there: the form depends on what the
        // file system could hold.
        let wide = self.mount().has_wide_inodes();
        let [low, high, generation] = numbers(self);
        let (kind, needed, words) = match (wide, parent.map(numbers)) {
            (false, None) => (INODE32, 2, [low, generation, 0, 0, 0, 0]),
            (false, Some([parent, _, of])) => {
                (INODE32_PARENT, 4, [low, generation, parent, of, 0, 0])
            }
            (true, None) => (INODE64, 3, [low, high, generation, 0, 0, 0]),
            (true, Some([parent, parent_high, of])) => (
                INODE64_PARENT,
                6,
                [low, high, generation, parent, parent_high, of],
            ),
        };
        let Some(room) = to.get_mut(..needed) else {
            return Err(needed);
        };
        for (to, word) in room.iter_mut().zip(words) {
            *to = word;
        }
        Ok((kind, needed))
    }

    fn decode(mount: &Mount, handle: Handle<'_>) -> Result<Option<ARef<Self>>> {
        let (ino, generation) = match (handle.kind, handle.words) {
            (INODE32, &[ino, generation, ..]) | (INODE32_PARENT, &[ino, generation, _, _, ..]) => {
                (join(ino, 0), generation)
            }
            (INODE64, &[low, high, generation, ..])
            | (INODE64_PARENT, &[low, high, generation, _, _, _, ..]) => {
                (join(low, high), generation)
            }
            _ => return Ok(None),
        };
        find(mount, ino, generation).map(Some)
    }

    fn decode_parent(mount: &Mount, handle: Handle<'_>) -> Result<Option<ARef<Self>>> {
        let (ino, generation) = match (handle.kind, handle.words) {
            (INODE32_PARENT, &[_, _, ino, generation, ..]) => (join(ino, 0), generation),
            (INODE64_PARENT, &[_, _, _, low, high, generation, ..]) => {
                (join(low, high), generation)
            }
            _ => return Ok(None),
        };
        find(mount, ino, generation).map(Some)
    }

    fn parent(&self) -> Result<ARef<Self>> {
        let mount = self.mount();
        let inode = self.mapped(WhichFork::Data)?;
        let parent = dir::parent(mount, &inode);
        drop(inode);
        child(mount, parent.map_err(|error| mount.errno(error))?)
    }

    fn make_stable(&self) -> Result {
        self.mount().force_inode(self)
    }
}
