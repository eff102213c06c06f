// SPDX-License-Identifier: GPL-2.0

//! Mappings of a file's bytes to a device: what iomap asks a file system for.
//!
//! C header: `include/linux/iomap.h`.

use super::{
    block_device::BlockDevice,
    node::Node, //
};
use crate::rust::bindings;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::prelude::*;

/// One way to map the bytes of a node: its data, its attribute fork, data for a seek.
pub(crate) trait Mapper: 'static {
    /// Whose bytes.
    type Node: Node;

    /// Finds the mapping that holds byte `offset`; what lies past `offset + len` is of no use to
    /// the caller, though a longer mapping does no harm.
    fn map(
        node: &Self::Node,
        offset: u64,
        len: u64,
        flags: Flags,
        mapping: &mut Mapping<'_>,
    ) -> Result;

    /// The table of operations.
    const OPERATIONS: &'static bindings::iomap_ops = &Operations::<Self>::TABLE;
}

/// What a mapping is wanted for.
#[derive(Clone, Copy)]
pub(crate) struct Flags(c_uint);

impl Flags {
    /// The caller must not sleep.
    pub(crate) fn nowait(self) -> bool {
        self.0 & bindings::IOMAP_NOWAIT != 0
    }

    /// The mapping is shown to user space: sharing matters.
    pub(crate) fn report(self) -> bool {
        self.0 & bindings::IOMAP_REPORT != 0
    }

    /// The same, for one to whom sharing does not matter.
    #[must_use]
    pub(crate) fn without_report(self) -> Self {
        Self(self.0 & !bindings::IOMAP_REPORT)
    }

    /// The bytes will be changed.
    pub(crate) fn write(self) -> bool {
        self.0 & (bindings::IOMAP_WRITE | bindings::IOMAP_ZERO) != 0
    }
}

/// What lies at a mapping.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing.
    Hole,
    /// Data from this byte of the device on.
    Data(u64),
    /// Space that reads as zeroes, from this byte of the device on.
    Unwritten(u64),
}

/// A mapping being filled in.
pub(crate) struct Mapping<'a>(&'a mut bindings::iomap);

impl Mapping<'_> {
    /// Sets what lies from byte `offset` of the file on for `len` bytes, and on which device.
    pub(crate) fn set(&mut self, offset: u64, len: u64, content: Content, device: BlockDevice) {
        let (kind, addr) = match content {
            Content::Hole => (bindings::IOMAP_HOLE, bindings::IOMAP_NULL_ADDR as u64),
            Content::Data(addr) => (bindings::IOMAP_MAPPED, addr),
            Content::Unwritten(addr) => (bindings::IOMAP_UNWRITTEN, addr),
        };
        self.0.offset = offset as i64;
        self.0.length = len;
        self.0.type_ = kind as u16;
        self.0.addr = addr;
        self.0.flags = 0;
        self.0.bdev = device.as_ptr();
        self.0.dax_dev = ptr::null_mut();
    }

    /// Notes that other files share it.
    pub(crate) fn set_shared(&mut self) {
        self.0.flags |= bindings::IOMAP_F_SHARED as u16;
    }

    /// Notes that it is the attribute fork's.
    pub(crate) fn set_attribute_fork(&mut self) {
        self.0.flags |= bindings::IOMAP_F_XATTR as u16;
    }

    /// Notes that I/O must not be merged with what lies before it on the device.
    pub(crate) fn set_boundary(&mut self) {
        self.0.flags |= bindings::IOMAP_F_BOUNDARY as u16;
    }
}

struct Operations<M: ?Sized>(PhantomData<M>);

impl<M: Mapper + ?Sized> Operations<M> {
    const TABLE: bindings::iomap_ops = bindings::iomap_ops {
        iomap_begin: None,
        iomap_end: None,
        iomap_next: Some(Self::next),
    };

    /// `iomap_iter_begin_fn`.
    ///
    /// # Safety
    ///
    /// Called by iomap: `inode` is an `M::Node`, and `map` is ours to fill.
    unsafe extern "C" fn begin(
        inode: *mut bindings::inode,
        offset: i64,
        len: i64,
        flags: c_uint,
        map: *mut bindings::iomap,
        _source: *mut bindings::iomap,
    ) -> c_int {
        // SAFETY: By the caller.
        let (node, map) = unsafe { (M::Node::from_vfs(inode), &mut *map) };
        // iomap's positions and lengths are never negative.
        let (Ok(offset), Ok(len)) = (u64::try_from(offset), u64::try_from(len)) else {
            return EINVAL.to_errno();
        };
        super::node::errno(M::map(node, offset, len, Flags(flags), &mut Mapping(map)))
    }

    /// `iomap_iter_next_fn`: the next mapping of a walk. Reads have nothing to finish first.
    ///
    /// # Safety
    ///
    /// Called by iomap: all are valid, and `map` and `source` are those of `walk`.
    unsafe extern "C" fn next(
        walk: *const bindings::iomap_iter,
        map: *mut bindings::iomap,
        source: *mut bindings::iomap,
    ) -> c_int {
        // SAFETY: By the caller.
        unsafe {
            if (*map).length != 0 {
                let more = bindings::iomap_iter_continue(walk, map, source, 0);
                if more <= 0 {
                    return more;
                }
            }
            // SAFETY of the integer cast: iomap's lengths fit `loff_t`.
            let len = (*walk).len as i64;
            match Self::begin((*walk).inode, (*walk).pos, len, (*walk).flags, map, source) {
                0 => 1,
                error => error,
            }
        }
    }
}

/// What maps a single range for `M`, for the calls of iomap that take a function and no table.
pub(super) fn begin_of<M: Mapper>() -> bindings::iomap_iter_begin_fn {
    Some(Operations::<M>::begin)
}

/// `address_space_operations.read_folio`.
///
/// # Safety
///
/// Called by the page cache: `folio` is locked, and its mapping's host is an `M::Node`.
pub(super) unsafe extern "C" fn read_folio<M: Mapper>(
    _file: *mut bindings::file,
    folio: *mut bindings::folio,
) -> c_int {
    let mut context = bindings::iomap_read_folio_ctx {
        ops: &raw const bindings::iomap_bio_read_ops,
        cur_folio: folio,
        ..Default::default()
    };
    // SAFETY: By the caller; the context is whole.
    unsafe { bindings::iomap_read_folio(M::OPERATIONS, &mut context, ptr::null_mut()) };
    0
}

/// `address_space_operations.readahead`.
///
/// # Safety
///
/// Called by the page cache: the mapping's host is an `M::Node`.
pub(super) unsafe extern "C" fn readahead<M: Mapper>(control: *mut bindings::readahead_control) {
    let mut context = bindings::iomap_read_folio_ctx {
        ops: &raw const bindings::iomap_bio_read_ops,
        rac: control,
        ..Default::default()
    };
    // SAFETY: By the caller; the context is whole.
    unsafe { bindings::iomap_readahead(M::OPERATIONS, &mut context, ptr::null_mut()) };
}
