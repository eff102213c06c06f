// SPDX-License-Identifier: GPL-2.0

//! The hash of a name, by which directories and attribute forks are ordered.
//!
//! Source: `xfs_da_hashname()` in `fs/xfs/libxfs/xfs_da_btree.c` of Linux 7.3, and chapter
//! "Directories" of the XFS format's documentation.
//!
//! File systems made with `ascii-ci=1` hash directory names with the case folded. The kernel that
//! this project runs in is built without that deprecated format and refuses to mount it, so this
//! project does too, and knows one hash only.

/// Hash of a name: of a directory entry, of an attribute, or of a parent pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct NameHash(pub u32);

impl NameHash {
    /// The hash of `name`.
    ///
    /// Each byte is mixed in after a rotation by seven bits: seven positions is what ASCII needs,
    /// so five characters fill the word before the first comes round again.
    #[inline]
    pub fn of(name: &[u8]) -> Self {
        let mut hash = 0u32;
        let mut quads = name.chunks_exact(4);
        // Four bytes a step: rotations within a step do not wrap, so they are plain shifts.
        for quad in quads.by_ref() {
            if let &[a, b, c, d] = quad {
                hash = (u32::from(a) << 21)
                    ^ (u32::from(b) << 14)
                    ^ (u32::from(c) << 7)
                    ^ u32::from(d)
                    ^ hash.rotate_left(28);
            }
        }
        for &byte in quads.remainder() {
            hash = hash.rotate_left(7) ^ u32::from(byte);
        }
        Self(hash)
    }
}
