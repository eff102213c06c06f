// SPDX-License-Identifier: GPL-2.0

//! Attribute items (ATTRI): a change of an attribute or a parent pointer.
//!
//! The first region says what to do. Then come, each in a region of its own and if there is one: the
//! name, the new name, the value, the new value.

use super::{
    item::ItemKind,
    regions::{padded, Regions},
};
use crate::libxfs::format::fault::{self, Fault};
use zerocopy::{
    byteorder::native_endian::{U16, U32, U64},
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
};

const NAME: &str = ItemKind::Attri.name();

/// First region of an attribute item.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // Each field is the format's `alfi_` field of the same name.
pub struct DiskAttri {
    pub kind: U16,
    pub size: U16,
    pub igen: U32,
    pub id: U64,
    pub ino: U64,
    pub op_flags: U32,
    /// One number of 32 bits, but where a parent pointer is replaced two of 16: the lengths of the
    /// old and of the new name.
    pub name_len: [u8; 4],
    pub value_len: U32,
    pub attr_filter: U32,
}

const _: () = assert!(core::mem::size_of::<DiskAttri>() == 40);

/// Longest name.
const MAX_NAME: usize = 255;
/// Longest value.
const MAX_VALUE: usize = 65536;
/// Bytes of a parent pointer's value: a directory's number and generation.
const PARENT_VALUE: usize = 12;
/// Bits of an attribute's name space that an item may have: root, secure, parent, incomplete.
const FILTER: u32 = FILTER_ROOT | FILTER_SECURE | FILTER_PARENT | FILTER_INCOMPLETE;
const FILTER_ROOT: u32 = 1 << 1;
const FILTER_SECURE: u32 = 1 << 2;
/// Bit of the parent pointers' name space.
pub const FILTER_PARENT: u32 = 1 << 3;
const FILTER_INCOMPLETE: u32 = 1 << 7;

/// What is to be done to an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttrOperation {
    /// Set one.
    Set,
    /// Remove one.
    Remove,
    /// Replace one's value.
    Replace,
    /// Set a parent pointer.
    ParentSet,
    /// Remove one.
    ParentRemove,
    /// Put one into the place of another.
    ParentReplace,
}

impl AttrOperation {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Set,
        Self::Remove,
        Self::Replace,
        Self::ParentSet,
        Self::ParentRemove,
        Self::ParentReplace,
    ];

    const fn from_disk(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Set,
            2 => Self::Remove,
            3 => Self::Replace,
            4 => Self::ParentSet,
            5 => Self::ParentRemove,
            6 => Self::ParentReplace,
            _ => return None,
        })
    }

    const fn to_disk(self) -> u32 {
        match self {
            Self::Set => 1,
            Self::Remove => 2,
            Self::Replace => 3,
            Self::ParentSet => 4,
            Self::ParentRemove => 5,
            Self::ParentReplace => 6,
        }
    }

    /// Whether it is about a parent pointer; then the item's generation counts.
    pub const fn is_parent(self) -> bool {
        matches!(
            self,
            Self::ParentSet | Self::ParentRemove | Self::ParentReplace
        )
    }
}

/// A change of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttrItem<'a> {
    /// Name of the intent.
    pub id: u64,
    /// What to do.
    pub operation: AttrOperation,
    /// The inode.
    pub inode: u64,
    /// Its generation, of parent pointers.
    pub generation: u32,
    /// Name space, as attribute entries tell it.
    pub filter: u32,
    /// The name.
    pub name: &'a [u8],
    /// The name that it gets, or nothing.
    pub new_name: &'a [u8],
    /// The value, or nothing.
    pub value: &'a [u8],
    /// The value that it gets, or nothing.
    pub new_value: &'a [u8],
}

fn ensure(holds: bool, field: &'static str) -> Result<(), Fault> {
    fault::ensure(holds, NAME, field)
}

impl<'a> AttrItem<'a> {
    /// Decodes an item.
    ///
    /// # Errors
    ///
    /// A fault when regions are missing or not of the size that is said, or a field has a value
    /// that Linux 7.3 does not write.
    pub fn decode(regions: Regions<'a>) -> Result<Self, Fault> {
        let raw = DiskAttri::ref_from_bytes(regions.get(0).unwrap_or_default())
            .map_err(|_| Fault::corrupt(NAME, "length"))?;
        ensure(raw.kind.get() == ItemKind::Attri.to_disk(), "alfi_type")?;
        ensure(usize::from(raw.size.get()) == regions.len(), "alfi_size")?;
        let operation = AttrOperation::from_disk(raw.op_flags.get())
            .ok_or(Fault::corrupt(NAME, "alfi_op_flags"))?;
        let filter = raw.attr_filter.get();
        let parent = filter & FILTER_PARENT != 0;
        let spaces = filter & (FILTER_ROOT | FILTER_SECURE | FILTER_PARENT);
        ensure(
            filter & !FILTER == 0 && spaces.count_ones() <= 1 && parent == operation.is_parent(),
            "alfi_attr_filter",
        )?;
        let value_len = raw.value_len.get() as usize;
        ensure(
            match operation {
                AttrOperation::Set | AttrOperation::Replace => value_len <= MAX_VALUE,
                AttrOperation::Remove => value_len == 0,
                _ => value_len == PARENT_VALUE,
            },
            "alfi_value_len",
        )?;
        let replaced = operation == AttrOperation::ParentReplace;
        let (name_len, new_name_len) = if replaced {
            let [a, b, c, d] = raw.name_len;
            (
                u16::from_ne_bytes([a, b]) as usize,
                u16::from_ne_bytes([c, d]) as usize,
            )
        } else {
            (u32::from_ne_bytes(raw.name_len) as usize, 0)
        };
        let fits = |len: usize| len != 0 && len <= MAX_NAME;
        ensure(fits(name_len), "alfi_name_len")?;
        ensure(!replaced || fits(new_name_len), "alfi_new_name_len")?;

        let mut next: usize = 1;
        let mut take = |len: usize, field: &'static str| {
            if len == 0 {
                return Ok(&[][..]);
            }
            let region = regions.get(next).ok_or(Fault::corrupt(NAME, "alfi_size"))?;
            next = next.saturating_add(1);
            ensure(padded(len) == Some(region.len()), field)?;
            region.get(..len).ok_or(Fault::corrupt(NAME, field))
        };
        let item = Self {
            id: raw.id.get(),
            operation,
            inode: raw.ino.get(),
            generation: raw.igen.get(),
            filter,
            name: take(name_len, "name")?,
            new_name: take(new_name_len, "new name")?,
            value: take(value_len, "value")?,
            new_value: take(if replaced { value_len } else { 0 }, "new value")?,
        };
        ensure(next == regions.len(), "alfi_size")?;
        // Parent pointers are named by file names, in which no byte but these two is forbidden.
        let named = |name: &[u8]| {
            let forbidden = |&byte: &u8| byte == 0 || (parent && byte == b'/');
            !name.iter().any(forbidden)
        };
        ensure(named(item.name), "name")?;
        ensure(named(item.new_name), "new name")?;
        Ok(item)
    }

    /// The regions behind the first, those that there are.
    pub fn parts(&self) -> impl Iterator<Item = &'a [u8]> {
        [self.name, self.new_name, self.value, self.new_value]
            .into_iter()
            .filter(|part| !part.is_empty())
    }

    /// The first region of this item.
    ///
    /// # Errors
    ///
    /// A fault for a name or a value that is too long.
    pub fn encode(&self) -> Result<DiskAttri, Fault> {
        ensure(self.name.len() <= MAX_NAME, "alfi_name_len")?;
        ensure(self.new_name.len() <= MAX_NAME, "alfi_new_name_len")?;
        ensure(self.value.len() <= MAX_VALUE, "alfi_value_len")?;
        let name_len = if self.operation == AttrOperation::ParentReplace {
            let [a, b] = (self.name.len() as u16).to_ne_bytes();
            let [c, d] = (self.new_name.len() as u16).to_ne_bytes();
            [a, b, c, d]
        } else {
            (self.name.len() as u32).to_ne_bytes()
        };
        Ok(DiskAttri {
            kind: ItemKind::Attri.to_disk().into(),
            size: (self.parts().count() as u16).saturating_add(1).into(),
            igen: self.generation.into(),
            id: self.id.into(),
            ino: self.inode.into(),
            op_flags: self.operation.to_disk().into(),
            name_len,
            value_len: (self.value.len() as u32).into(),
            attr_filter: self.filter.into(),
        })
    }
}
