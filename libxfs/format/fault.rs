// SPDX-License-Identifier: GPL-2.0

//! What a verifier finds wrong.

use core::fmt;

/// The two ways in which bytes can be wrong; user space can tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The stored CRC32c is not that of the bytes: damaged after it was written (`EBADMSG`).
    Checksum,
    /// The checksum holds, or there is none, and a field breaks a rule of the format (`EUCLEAN`).
    Corrupt,
}

/// A rule that a structure breaks: which structure, and which field of it.
///
/// The names are those of the format (`"agf"`, `"length"`), made for the one line that the log
/// shows. It says nothing of where the structure lies: a verifier sees bytes alone, and the
/// [`Store`](crate::libxfs::store::Store) that read them adds the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How it is wrong.
    pub kind: FaultKind,
    /// The structure's name in the format.
    pub structure: &'static str,
    /// The field's name in the format.
    pub field: &'static str,
}

impl Fault {
    /// A field that breaks a rule.
    #[inline]
    pub const fn corrupt(structure: &'static str, field: &'static str) -> Self {
        Self {
            kind: FaultKind::Corrupt,
            structure,
            field,
        }
    }

    /// A checksum that does not match.
    #[inline]
    pub const fn checksum(structure: &'static str) -> Self {
        Self {
            kind: FaultKind::Checksum,
            structure,
            field: "crc",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FaultKind::Checksum => write!(f, "{}: bad checksum", self.structure),
            FaultKind::Corrupt => write!(f, "{}: bad {}", self.structure, self.field),
        }
    }
}

/// Holds a rule: `ensure(len <= max, "agf", "length")?`.
#[inline]
pub const fn ensure(
    holds: bool,
    structure: &'static str,
    field: &'static str,
) -> Result<(), Fault> {
    if holds {
        Ok(())
    } else {
        Err(Fault::corrupt(structure, field))
    }
}
