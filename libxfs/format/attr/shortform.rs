// SPDX-License-Identifier: GPL-2.0

//! Short form attributes, which live in the inode, packed and in no order.

use super::{
    super::fault::{ensure, Fault},
    AttrFlags,
};

const STRUCTURE: &str = "attr3 sf";

/// The attributes in an inode's attribute fork.
#[derive(Clone, Copy)]
pub struct ShortForm<'a> {
    count: u8,
    entries: &'a [u8],
}

/// An attribute in short form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortAttr<'a> {
    /// Namespace.
    pub flags: AttrFlags,
    /// Name, without the namespace's prefix.
    pub name: &'a [u8],
    /// Value.
    pub value: &'a [u8],
}

impl<'a> ShortForm<'a> {
    /// Reads the header, and keeps to the size that it tells. `bytes` are the attribute fork's
    /// part of the literal area, all of it or as much as is in use.
    ///
    /// # Errors
    ///
    /// A fault when there is not even a header, or the size passes the fork's end.
    #[inline]
    pub fn view(bytes: &'a [u8]) -> Result<Self, Fault> {
        let fault = Fault::corrupt(STRUCTURE, "totsize");
        let (&[high, low, count, _], rest) = bytes.split_first_chunk::<4>().ok_or(fault)?;
        let size = usize::from(u16::from_be_bytes([high, low]));
        let entries = size
            .checked_sub(4)
            .and_then(|len| rest.get(..len))
            .ok_or(fault)?;
        Ok(Self { count, entries })
    }

    /// Attributes.
    #[inline]
    pub fn count(&self) -> u8 {
        self.count
    }

    /// Bytes in use, header included.
    #[inline]
    pub fn size(&self) -> usize {
        self.entries.len().saturating_add(4)
    }

    /// The attributes, as they lie. Ends after the first fault.
    #[inline]
    pub fn iter(&self) -> ShortAttrs<'a> {
        ShortAttrs {
            left: self.count,
            bytes: self.entries,
        }
    }
}

/// Iterator over short form attributes.
#[derive(Clone)]
pub struct ShortAttrs<'a> {
    left: u8,
    bytes: &'a [u8],
}

impl<'a> ShortAttrs<'a> {
    fn take(&mut self) -> Option<ShortAttr<'a>> {
        let (&[name_len, value_len, flags], rest) = self.bytes.split_first_chunk::<3>()?;
        let (name, rest) = rest.split_at_checked(usize::from(name_len))?;
        let (value, rest) = rest.split_at_checked(usize::from(value_len))?;
        self.bytes = rest;
        Some(ShortAttr {
            flags: AttrFlags(flags),
            name,
            value,
        })
    }
}

impl<'a> Iterator for ShortAttrs<'a> {
    type Item = Result<ShortAttr<'a>, Fault>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        match self.take() {
            Some(attr) => Some(Ok(attr)),
            None => {
                self.left = 0;
                Some(Err(Fault::corrupt(STRUCTURE, "entry")))
            }
        }
    }
}

/// Holds short form attributes to their rules, and returns the bytes that they take. `bytes` are
/// the attribute fork's part of the literal area.
///
/// # Errors
///
/// The first rule that is broken.
pub fn verify(bytes: &[u8]) -> Result<&[u8], Fault> {
    let short = ShortForm::view(bytes)?;
    let mut attrs = short.iter();
    for attr in attrs.by_ref() {
        let attr = attr?;
        ensure(!attr.name.is_empty(), STRUCTURE, "namelen")?;
        // What is short is local and whole; only the namespace is left to say, and it is one.
        let known = attr.flags.0 & !AttrFlags::NAMESPACES == 0;
        ensure(
            known && attr.flags.namespace().is_some(),
            STRUCTURE,
            "flags",
        )?;
    }
    ensure(attrs.bytes.is_empty(), STRUCTURE, "count")?;
    bytes
        .get(..short.size())
        .ok_or(Fault::corrupt(STRUCTURE, "totsize"))
}
