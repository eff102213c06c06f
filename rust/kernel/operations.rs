// SPDX-License-Identifier: GPL-2.0

//! The tables of operations of a node type, and giving an inode its own.

use super::{
    acl,
    dir,
    file,
    file::Regular,
    ioctl,
    ioctl::Controlled,
    iomap,
    names,
    names::Names,
    setattr,
    setattr::ChangeAttributes,
    stat,
    symlink,
    symlink::Link,
    xattr,
    xattr::ExtendedAttributes, //
};
use crate::rust::bindings;
use core::marker::PhantomData;

/// All that a node type does.
pub(crate) trait Complete:
    ChangeAttributes + Controlled + ExtendedAttributes + Link + Names + Regular
{
}

impl<T> Complete for T where
    T: ChangeAttributes + Controlled + ExtendedAttributes + Link + Names + Regular
{
}

struct Tables<T>(PhantomData<T>);

// SAFETY of the zeroed values below: a table of operations may be all null pointers.
impl<T: Complete> Tables<T> {
    const FILE_INODE: bindings::inode_operations = bindings::inode_operations {
        get_inode_acl: Some(acl::get_inode_acl::<T>),
        set_acl: Some(acl::set_acl::<T>),
        getattr: Some(stat::getattr::<T>),
        setattr: Some(setattr::setattr::<T>),
        update_time: Some(setattr::update_time::<T>),
        sync_lazytime: Some(setattr::sync_lazytime::<T>),
        listxattr: Some(xattr::list::<T>),
        fiemap: Some(file::fiemap::<T>),
        fileattr_get: Some(stat::fileattr_get::<T>),
        fileattr_set: Some(setattr::fileattr_set::<T>),
        // SAFETY: Null pointers.
        ..unsafe { core::mem::zeroed() }
    };

    const DIRECTORY_INODE: bindings::inode_operations = bindings::inode_operations {
        lookup: Some(dir::lookup::<T>),
        create: Some(names::create::<T>),
        mkdir: Some(names::mkdir::<T>),
        mknod: Some(names::mknod::<T>),
        symlink: Some(names::symlink::<T>),
        tmpfile: Some(names::tmpfile::<T>),
        link: Some(names::link::<T>),
        unlink: Some(names::remove::<T>),
        rmdir: Some(names::remove::<T>),
        rename: Some(names::rename::<T>),
        get_inode_acl: Some(acl::get_inode_acl::<T>),
        set_acl: Some(acl::set_acl::<T>),
        getattr: Some(stat::getattr::<T>),
        setattr: Some(setattr::setattr::<T>),
        update_time: Some(setattr::update_time::<T>),
        sync_lazytime: Some(setattr::sync_lazytime::<T>),
        listxattr: Some(xattr::list::<T>),
        fileattr_get: Some(stat::fileattr_get::<T>),
        fileattr_set: Some(setattr::fileattr_set::<T>),
        // SAFETY: Null pointers.
        ..unsafe { core::mem::zeroed() }
    };

    const SYMLINK_INODE: bindings::inode_operations = bindings::inode_operations {
        get_link: Some(symlink::get_link::<T>),
        getattr: Some(stat::getattr::<T>),
        setattr: Some(setattr::setattr::<T>),
        update_time: Some(setattr::update_time::<T>),
        sync_lazytime: Some(setattr::sync_lazytime::<T>),
        listxattr: Some(xattr::list::<T>),
        fileattr_get: Some(stat::fileattr_get::<T>),
        fileattr_set: Some(setattr::fileattr_set::<T>),
        // SAFETY: Null pointers.
        ..unsafe { core::mem::zeroed() }
    };

    const FILE: bindings::file_operations = bindings::file_operations {
        llseek: Some(file::llseek::<T>),
        read_iter: Some(file::read_iter::<T>),
        write_iter: Some(file::write_iter),
        splice_read: Some(file::splice_read::<T>),
        iopoll: Some(bindings::iocb_bio_iopoll),
        unlocked_ioctl: Some(ioctl::unlocked_ioctl::<T>),
        compat_ioctl: Some(ioctl::compat_ioctl::<T>),
        mmap_prepare: Some(bindings::generic_file_readonly_mmap_prepare),
        open: Some(file::open::<T>),
        fsync: Some(file::fsync::<T>),
        #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
        get_unmapped_area: Some(bindings::thp_get_unmapped_area),
        fadvise: Some(file::fadvise::<T>),
        setlease: Some(file::setlease),
        fop_flags: bindings::FOP_BUFFER_RASYNC | bindings::FOP_DONTCACHE,
        // SAFETY: Null pointers.
        ..unsafe { core::mem::zeroed() }
    };

    const DIRECTORY: bindings::file_operations = bindings::file_operations {
        open: Some(dir::open::<T>),
        read: Some(bindings::generic_read_dir),
        iterate_shared: Some(dir::iterate::<T>),
        llseek: Some(bindings::generic_file_llseek),
        unlocked_ioctl: Some(ioctl::unlocked_ioctl::<T>),
        compat_ioctl: Some(ioctl::compat_ioctl::<T>),
        fsync: Some(file::fsync::<T>),
        setlease: Some(file::setlease),
        // SAFETY: Null pointers.
        ..unsafe { core::mem::zeroed() }
    };

    const MAPPING: bindings::address_space_operations = bindings::address_space_operations {
        read_folio: Some(iomap::read_folio::<T::Read>),
        readahead: Some(iomap::readahead::<T::Read>),
        release_folio: Some(bindings::iomap_release_folio),
        invalidate_folio: Some(bindings::iomap_invalidate_folio),
        bmap: Some(file::bmap::<T>),
        migrate_folio: Some(bindings::filemap_migrate_folio),
        is_partially_uptodate: Some(bindings::iomap_is_partially_uptodate),
        error_remove_folio: Some(bindings::generic_error_remove_folio),
        swap_activate: Some(file::swap_activate),
        // SAFETY: Null pointers.
        ..unsafe { core::mem::zeroed() }
    };
}

/// Gives an inode that is being set up the operations of its type, and a regular file large folios
/// of at least `min_folio` bytes, the file system's block.
///
/// # Safety
///
/// `inode` is a new `T`: whole but not visible to others yet; `i_mode` and `i_rdev` are set.
pub(crate) unsafe fn attach<T: Complete>(inode: *mut bindings::inode, min_folio: u32) {
    // SAFETY: By the caller.
    unsafe {
        let mode = u32::from((*inode).i_mode);
        match mode & bindings::S_IFMT {
            bindings::S_IFREG => {
                (*inode).i_op = &Tables::<T>::FILE_INODE;
                (*inode).__bindgen_anon_3.i_fop = &Tables::<T>::FILE;
                (*(*inode).i_mapping).a_ops = &Tables::<T>::MAPPING;
                let order = min_folio
                    .checked_div(bindings::PAGE_SIZE as u32)
                    .unwrap_or(0);
                bindings::mapping_set_folio_min_order(
                    (*inode).i_mapping,
                    order.checked_ilog2().unwrap_or(0),
                );
            }
            bindings::S_IFDIR => {
                (*inode).i_op = &Tables::<T>::DIRECTORY_INODE;
                (*inode).__bindgen_anon_3.i_fop = &Tables::<T>::DIRECTORY;
            }
            bindings::S_IFLNK => {
                (*inode).i_op = &Tables::<T>::SYMLINK_INODE;
            }
            _ => {
                (*inode).i_op = &Tables::<T>::FILE_INODE;
                bindings::init_special_inode(inode, (*inode).i_mode, (*inode).i_rdev);
            }
        }
    }
}
