// SPDX-License-Identifier: GPL-2.0

//! Inodes that have lost their last name and their last user: what they hold is freed, and they
//! themselves, by a worker.
//!
//! The VFS evicts such an inode; what memory had of it waits here, and is put into the inode cache
//! again when its turn comes. Nobody else finds it there. The youngest comes first: it is the first
//! of its list of unlinked inodes, too, so that it need not be searched there. If the machine stops
//! before, recovery does all this from the lists.

use super::{
    inode::{
        Inode,
        Whole, //
    },
    log::patiently,
    mount::Mount, //
};
use crate::{
    libxfs::{
        error::{
            Error,
            Result, //
        },
        extents::ExtentMap,
        format::units::InodeNumber,
        inode::{
            self,
            DeviceNumber,
            Fork, //
        },
        ops,
    },
    rust::{
        bindings,
        kernel::{
            message::Level,
            stack::{
                Link,
                Stack,
                Stacked, //
            },
            workqueue::WorkQueue, //
        },
    },
};
use core::ptr::NonNull;
use kernel::{
    new_mutex, new_work,
    prelude::*,
    str::CStr,
    sync::{
        aref::ARef,
        Arc,
        Mutex, //
    },
    workqueue::{
        Work,
        WorkItem, //
    },
};

/// An inode that is to be freed.
#[pin_data]
struct Ended {
    link: Link<Ended>,
    number: InodeNumber,
    #[pin]
    whole: Mutex<Option<Whole>>,
}

impl Stacked for Ended {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

/// The inodes of a mount that are to be freed, and who does it.
#[pin_data]
pub(super) struct Inactive {
    // INVARIANT: Alive until `flush` was called the last time: the mount sees to that.
    mount: NonNull<Mount>,
    waiting: Stack<Ended>,
    queue: WorkQueue,
    #[pin]
    work: Work<Inactive, 1>,
}

// SAFETY: A mount can be used from any thread.
unsafe impl Send for Inactive {}
// SAFETY: As above.
unsafe impl Sync for Inactive {}

impl Inactive {
    /// None so far. The mount calls [`flush`](Self::flush) before it goes, and evicts nothing after
    /// that.
    pub(super) fn new(mount: &Mount, name: &CStr) -> kernel::error::Result<Arc<Self>> {
        let queue = WorkQueue::new(c"xfs_rust-inactive/%s", name)?;
        Arc::pin_init(
            pin_init!(Self {
                mount: NonNull::from(mount),
                waiting: Stack::new(),
                queue,
                work <- new_work!("xfs_rust_inactive"),
            }),
            GFP_KERNEL,
        )
    }

    fn add(self: &Arc<Self>, whole: Whole) {
        let number = whole.inode.number;
        let ended = patiently(|| {
            let one = pin_init!(Ended {
                link: Link::new(),
                number,
                whole <- new_mutex!(None, "xfs_rust_ended"),
            });
            Arc::pin_init(one, GFP_KERNEL).map_err(|_| Error::NoMemory)
        });
        // Without memory it stays on the list that recovery looks at.
        if let Ok(ended) = ended {
            *ended.whole.lock() = Some(whole);
            self.waiting.push(ended);
            // It is queued already where this fails.
            let _ = self.queue.as_queue().enqueue::<_, 1>(self.clone());
        }
    }

    /// Waits until all inodes that were to be freed are.
    pub(super) fn flush(&self) {
        self.queue.flush();
    }
}

impl WorkItem<1> for Inactive {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        // SAFETY: By the invariant.
        let mount = unsafe { this.mount.as_ref() };
        for ended in this.waiting.take() {
            // What cannot be freed is freed after the next mount.
            if let Err(error) = mount.free_ended(&ended) {
                mount.say_not_freed(ended.number, error);
            }
        }
    }
}

kernel::workqueue::impl_has_work! {
    impl HasWork<Self, 1> for Inactive { self.work }
}

impl Mount {
    fn free_ended(&self, ended: &Ended) -> Result {
        match self.revive_ended(ended)? {
            Some(node) => self.free_inode(&node),
            None => Ok(()),
        }
    }

    /// Puts an inode into the inode cache again. Not inlined: it has the inode by value.
    #[inline(never)]
    fn revive_ended(&self, ended: &Ended) -> Result<Option<ARef<Inode>>> {
        let whole = ended.whole.lock().take();
        whole.map(|whole| self.revive(whole)).transpose()
    }

    fn say_not_freed(&self, number: InodeNumber, error: Error) {
        let errno = self.errno(error).to_errno();
        if !self.is_shut_down() {
            self.print(
                Level::Warning,
                format_args!(
                    "inode {:#x} without a name was not freed, errno {errno}",
                    number.get()
                ),
            );
        }
    }

    /// Frees an inode without a name that no one uses but the caller.
    ///
    /// # Errors
    ///
    /// Those of [`ops::inactivate`].
    pub(super) fn free_inode(&self, node: &Inode) -> Result {
        node.set_ended();
        let files = ops::Files {
            durable: false,
            ..self.files()
        };
        ops::inactivate(&files, node.number(), None).map(|_| ())
    }
}

/// `super_operations.evict_inode`.
///
/// # Safety
///
/// Called by the VFS with an inode of ours that no one uses any more.
pub(super) unsafe extern "C" fn evict_inode(inode: *mut bindings::inode) {
    // SAFETY: By the caller. Nobody refers to it but us, so that its locks are free.
    let node = unsafe {
        bindings::truncate_inode_pages_final(&raw mut (*inode).i_data);
        bindings::clear_inode(inode);
        if !Inode::is_whole(inode) {
            return;
        }
        Inode::from_vfs(inode)
    };
    let mount = node.mount();
    let mut body = node.write();
    // It refers to the log, and the memory of the inode may outlive that.
    let item = body.item.take();
    let core = &body.inode.core;
    let is_nameless = core.nlink == 0 && core.file_type().is_some();
    let whole = (is_nameless && !node.has_ended()).then(|| Whole {
        place: node.place(),
        item,
        inode: take(&mut body.inode),
    });
    drop(body);
    mount.evictions().count(node.number());
    if let (Some(whole), Some(inactive)) = (whole, mount.inactive()) {
        inactive.add(whole);
    }
}

/// Takes core and forks, and leaves none.
fn take(inode: &mut inode::Inode) -> inode::Inode {
    let nothing = Fork::Dev(DeviceNumber { major: 0, minor: 0 });
    inode::Inode {
        number: inode.number,
        core: inode.core.clone(),
        data: core::mem::replace(&mut inode.data, nothing),
        attr: inode.attr.take(),
        cow: core::mem::replace(&mut inode.cow, ExtentMap::new()),
    }
}
