// SPDX-License-Identifier: GPL-2.0

//! The kinds of metadata block, and the one place that verifies them.
//!
//! A block is read as one of these. The store runs [`Kind::verify`] once, when the bytes come from
//! the disk, and remembers the kind; a later reader that asks for another kind has them verified
//! again. One enum and one match, where C has a table of function pointers.

use super::{attr, dir, fault::Fault, geometry::Geometry, units::DiskAddr};

/// What a metadata block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Bytes without a format of their own; nothing is verified.
    Raw,
    /// Block of directory entries, in leaf and node form.
    DirData,
    /// Directory in block form.
    DirBlock,
    /// The only leaf of a directory in leaf form.
    DirLeaf,
    /// Block of the hash tree of a directory in node form: a node or a leaf.
    DirTree,
    /// Free index block of a directory in node form.
    DirFree,
    /// Block of an attribute fork's tree: a node or a leaf, or the only leaf.
    AttrTree,
    /// One or more blocks of a long attribute's value, one behind the other on the disk.
    AttrRemote,
}

impl Kind {
    /// Holds `bytes`, read from `at`, to every rule of this kind that needs no other block.
    ///
    /// Owners are not known here; the walker that followed a pointer to the block checks them.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn verify(self, geo: &Geometry, at: DiskAddr, bytes: &[u8]) -> Result<(), Fault> {
        match self {
            Kind::Raw => Ok(()),
            Kind::DirData => dir::data::verify_data(geo, at, bytes),
            Kind::DirBlock => dir::data::verify_block(geo, at, bytes),
            Kind::DirLeaf => dir::leaf::verify(geo, at, bytes, dir::leaf::LeafKind::Single),
            Kind::DirTree => dir::verify_tree(geo, at, bytes),
            Kind::DirFree => dir::free::verify(geo, at, bytes),
            Kind::AttrTree => attr::verify_tree(geo, at, bytes),
            Kind::AttrRemote => attr::remote::verify(geo, at, bytes),
        }
    }
}
