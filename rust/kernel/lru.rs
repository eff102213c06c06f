// SPDX-License-Identifier: GPL-2.0

//! Lists of what could be freed, least recently used first, that shrink when memory is short.
//!
//! C headers: [`include/linux/list_lru.h`](srctree/include/linux/list_lru.h),
//! [`include/linux/shrinker.h`](srctree/include/linux/shrinker.h)

use crate::rust::bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    ffi::{
        c_ulong,
        c_void, //
    },
    prelude::*,
    str::CStr,
    types::Opaque,
};

/// What a list is to do with an item that it would like to free.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Free it: from now on it is the list's.
    Take,
    /// It is in use; look at the next.
    Skip,
    /// It was used of late; give it another round.
    Rotate,
}

/// An item of a list.
///
/// # Safety
///
/// - [`link`](Listed::link) is a link that this list alone uses, initialized, in memory of the slab
///   or page allocator; [`from_link`](Listed::from_link) goes back.
/// - An item that is on a list stays alive until it was removed or taken.
pub unsafe trait Listed {
    /// The link within.
    fn link(&self) -> *mut bindings::list_head;

    /// The item around a link.
    ///
    /// # Safety
    ///
    /// `link` is one of an item of this type.
    unsafe fn from_link(link: *mut bindings::list_head) -> NonNull<Self>;

    /// Judges the item. Called with the list's spin lock held.
    fn judge(&self) -> Verdict;

    /// Frees an item that was taken, and is on no list any more.
    ///
    /// # Safety
    ///
    /// [`judge`](Listed::judge) has said [`Verdict::Take`], and this comes once for that.
    unsafe fn dispose(this: NonNull<Self>);
}

/// A list, one a memory node, with a shrinker to it.
#[pin_data(PinnedDrop)]
pub struct Lru<T: Listed> {
    #[pin]
    raw: Opaque<bindings::list_lru>,
    // INVARIANT: Registered from `new` on, with `private_data` pointing here.
    shrinker: NonNull<bindings::shrinker>,
    _items: PhantomData<NonNull<T>>,
}

// SAFETY: Lists are made for use from everywhere.
unsafe impl<T: Listed + Send + Sync> Send for Lru<T> {}
// SAFETY: As above.
unsafe impl<T: Listed + Send + Sync> Sync for Lru<T> {}

impl<T: Listed> Lru<T> {
    /// A list whose shrinker is called `format` with `name` in it.
    pub fn new(format: &'static CStr, name: &CStr) -> Result<Pin<KBox<Self>>> {
        // SAFETY: The format takes one string, and strings they both are.
        let shrinker = unsafe {
            bindings::shrinker_alloc(
                bindings::SHRINKER_NUMA_AWARE,
                format.as_char_ptr(),
                name.as_char_ptr(),
            )
        };
        let shrinker = NonNull::new(shrinker).ok_or(ENOMEM)?;
        let list = KBox::pin_init(
            try_pin_init!(Self {
                // SAFETY: The slot is valid for writing.
                raw <- Opaque::try_ffi_init(|slot| kernel::error::to_result(unsafe {
                    bindings::__list_lru_init(slot, false, core::ptr::null_mut())
                })),
                shrinker,
                _items: PhantomData,
            }),
            GFP_KERNEL,
        );
        let list = match list {
            Ok(list) => list,
            Err(error) => {
                // SAFETY: Never registered.
                unsafe { bindings::shrinker_free(shrinker.as_ptr()) };
                return Err(error);
            }
        };
        // SAFETY: Not yet registered, so it is ours; the list is pinned until the shrinker is freed.
        unsafe {
            let raw = shrinker.as_ptr();
            (*raw).count_objects = Some(Self::count_objects);
            (*raw).scan_objects = Some(Self::scan_objects);
            (*raw).private_data = (&raw const *list).cast_mut().cast();
            bindings::shrinker_register(raw);
        }
        Ok(list)
    }

    /// Puts an item at the fresh end, unless it is on the list.
    ///
    /// # Safety
    ///
    /// The item stays alive until it was removed or taken.
    pub unsafe fn add(&self, item: &T) {
        // SAFETY: List and link are initialized, and the link lies in slab or page memory.
        unsafe { bindings::list_lru_add_obj(self.raw.get(), item.link()) };
    }

    /// Takes an item off, if it is on the list.
    pub fn remove(&self, item: &T) {
        // SAFETY: As in `add`.
        unsafe { bindings::list_lru_del_obj(self.raw.get(), item.link()) };
    }

    /// How many items there are on a node.
    fn count(&self, node: c_int) -> c_ulong {
        // SAFETY: Initialized.
        unsafe { bindings::list_lru_count_node(self.raw.get(), node) }
    }

    /// Walks up to `goal` items of a node, and frees those that may be. Returns how many.
    fn scan(&self, node: c_int, goal: &mut c_ulong) -> c_ulong {
        let mut taken = bindings::list_head::default();
        let head = &raw mut taken;
        // SAFETY: The head is ours; an empty list points to itself.
        unsafe {
            (*head).next = head;
            (*head).prev = head;
        }
        // SAFETY: The list is initialized, and `head` outlives the call.
        let freed = unsafe {
            bindings::list_lru_walk_node(
                self.raw.get(),
                node,
                Some(Self::isolate),
                head.cast(),
                goal,
            )
        };
        // SAFETY: What hangs on the list are links of items that `isolate` took for us.
        unsafe {
            while (*head).next != head {
                let link = (*head).next;
                let next = (*link).next;
                (*head).next = next;
                (*next).prev = head;
                (*link).next = link;
                (*link).prev = link;
                T::dispose(T::from_link(link));
            }
        }
        freed
    }

    /// Frees what may be freed, wherever it is; returns how many items are left.
    pub fn drain(&self) -> u64 {
        let mut left = 0;
        // SAFETY: Reads a variable that is set at boot.
        let nodes = unsafe { bindings::node_count() };
        for node in 0..nodes {
            let mut rounds = 0;
            loop {
                let count = self.count(node);
                // An item may have to be judged twice: used of late, then not.
                if count == 0 || rounds == 3 {
                    left += count as u64;
                    break;
                }
                let mut goal = count;
                if self.scan(node, &mut goal) == 0 {
                    rounds += 1;
                }
            }
        }
        left
    }

    /// The shrinker, for tests that play the kernel. Valid for as long as the list is there.
    #[cfg(CONFIG_XFS_RUST_KUNIT_TEST)]
    pub fn shrinker(&self) -> NonNull<bindings::shrinker> {
        self.shrinker
    }

    /// `shrinker.count_objects`.
    ///
    /// # Safety
    ///
    /// Called by the kernel with a shrinker that `new` registered.
    unsafe extern "C" fn count_objects(
        shrinker: *mut bindings::shrinker,
        control: *mut bindings::shrink_control,
    ) -> c_ulong {
        // SAFETY: By the invariant of `shrinker`; the list outlives it.
        let (list, node) = unsafe { (&*(*shrinker).private_data.cast::<Self>(), (*control).nid) };
        match list.count(node) {
            0 => SHRINK_EMPTY,
            count => count,
        }
    }

    /// `shrinker.scan_objects`.
    ///
    /// # Safety
    ///
    /// Called by the kernel with a shrinker that `new` registered.
    unsafe extern "C" fn scan_objects(
        shrinker: *mut bindings::shrinker,
        control: *mut bindings::shrink_control,
    ) -> c_ulong {
        // SAFETY: As in `count_objects`; the control is ours for the call.
        let (list, control) = unsafe { (&*(*shrinker).private_data.cast::<Self>(), &*control) };
        // `nr_scanned` stays what it is, all that was asked for: where the list has become shorter
        // than it was counted, its end was reached, and a figure of 0 would have the caller ask for
        // ever.
        let mut goal = control.nr_to_scan;
        list.scan(control.nid, &mut goal)
    }

    /// `list_lru_walk_cb`: judges one item; `head` collects what is taken.
    ///
    /// # Safety
    ///
    /// Called by the list's walk in `scan`.
    unsafe extern "C" fn isolate(
        link: *mut bindings::list_head,
        list: *mut bindings::list_lru_one,
        head: *mut c_void,
    ) -> bindings::lru_status {
        // SAFETY: What is on the list is alive, by the contract of `Listed`.
        match unsafe { T::from_link(link).as_ref() }.judge() {
            Verdict::Take => {
                // SAFETY: Called under the list's lock, for an item that is on it.
                unsafe { bindings::list_lru_isolate_move(list, link, head.cast()) };
                bindings::lru_status::LRU_REMOVED
            }
            Verdict::Skip => bindings::lru_status::LRU_SKIP,
            Verdict::Rotate => bindings::lru_status::LRU_ROTATE,
        }
    }
}

/// No objects, and no need to ask again soon.
const SHRINK_EMPTY: c_ulong = c_ulong::MAX - 1;

#[pinned_drop]
impl<T: Listed> PinnedDrop for Lru<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered, and freed once. Waits for scans under way; after that the list is ours
        // alone, and initialized.
        unsafe {
            bindings::shrinker_free(self.shrinker.as_ptr());
            bindings::list_lru_destroy(self.raw.get());
        }
    }
}
