// SPDX-License-Identifier: GPL-2.0

//! The kinds of metadata block, and the one place that verifies them.
//!
//! A block is read as one of these. The store runs [`Kind::verify`] once, when the bytes come from
//! the disk, and remembers the kind; a later reader that asks for another kind has them verified
//! again. One enum and one match, where C has a table of function pointers.

use super::{fault::Fault, geometry::Geometry, units::DiskAddr};

/// What a metadata block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Bytes without a format of their own; nothing is verified.
    Raw,
}

impl Kind {
    /// Holds `bytes`, read from `at`, to every rule of this kind that needs no other block.
    ///
    /// Owners are not known here; the walker that followed a pointer to the block checks them.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn verify(self, _geo: &Geometry, _at: DiskAddr, _bytes: &[u8]) -> Result<(), Fault> {
        match self {
            Kind::Raw => Ok(()),
        }
    }
}
