// SPDX-License-Identifier: GPL-2.0

//! Setting up a mount: options one by one, then the super block.

use super::{
    fill,
    life::{
        self,
        Refused, //
    },
    Super, //
};
use crate::{
    fs::{
        mount::Mount,
        options::{
            Form,
            Key,
            Value, //
        },
    },
    rust::{
        bindings,
        kernel::message::{
            Level,
            Prefix, //
        },
    },
};
use core::{
    fmt,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    str::{
        CStr,
        CString, //
    },
};

/// The table of options for the kernel's parser; its last entry is empty.
struct Parameters([bindings::fs_parameter_spec; Key::TABLE.len() + 1]);

// SAFETY: Never changes.
unsafe impl Sync for Parameters {}

// The compiler runs this, and would say if an index were wrong.
#[allow(clippy::indexing_slicing)]
static PARAMETERS: Parameters = {
    // SAFETY: Null pointers and zeroes are an entry: the last.
    let mut specs: [bindings::fs_parameter_spec; Key::TABLE.len() + 1] =
        unsafe { core::mem::zeroed() };
    let mut i = 0;
    while i < Key::TABLE.len() {
        let (name, key, form) = Key::TABLE[i];
        specs[i].name = name.to_bytes_with_nul().as_ptr();
        specs[i].opt = key as u8;
        match form {
            Form::Flag => {}
            Form::Number => specs[i].type_ = Some(bindings::fs_param_is_u32),
            Form::Text => specs[i].type_ = Some(bindings::fs_param_is_string),
        }
        i += 1;
    }
    Parameters(specs)
};

/// The table for the file system type.
pub(super) fn parameters() -> *const bindings::fs_parameter_spec {
    PARAMETERS.0.as_ptr()
}

/// Operations of a context.
struct Operations(bindings::fs_context_operations);

// SAFETY: Never changes.
unsafe impl Sync for Operations {}

static OPERATIONS: Operations = Operations(bindings::fs_context_operations {
    free: Some(free),
    parse_param: Some(parse_param),
    get_tree: Some(get_tree),
    reconfigure: Some(reconfigure),
    // SAFETY: Null pointers.
    ..unsafe { core::mem::zeroed() }
});

/// A context that a callback works on.
#[derive(Clone, Copy)]
pub(super) struct Context(
    // INVARIANT: Valid for the callback, and ours but for `uapi_mutex`, which the VFS holds.
    NonNull<bindings::fs_context>,
);

impl Context {
    /// The context of a callback.
    ///
    /// # Safety
    ///
    /// `raw` is what the VFS called us with; the value is not used after the call.
    pub(super) unsafe fn from_raw(raw: *mut bindings::fs_context) -> Option<Self> {
        NonNull::new(raw).map(Self)
    }

    /// Flags of the super block that is asked for.
    pub(super) fn flags(self) -> c_ulong {
        // SAFETY: By the invariant.
        unsafe { (*self.0.as_ptr()).sb_flags as c_ulong }
    }

    /// Whether nothing is to be written.
    pub(super) fn is_read_only(self) -> bool {
        self.flags() & bindings::SB_RDONLY != 0
    }

    /// Says why the mount is refused: in the kernel's log, and to who asked where they listen.
    pub(super) fn refuse(self, prefix: &Prefix, line: fmt::Arguments<'_>) {
        prefix.print(Level::Warning, line);
        if let Ok(line) = CString::try_from_fmt(fmt!("{}", Line(line))) {
            // SAFETY: The context is valid, the line a string.
            unsafe { bindings::fc_error(self.0.as_ptr(), line.as_char_ptr()) };
        }
    }

    /// What we keep in the context; `None` once it has moved to a super block.
    fn info<'a>(self) -> Option<&'a mut Super> {
        // SAFETY: Set in `init`, and ours alone until the callback returns.
        unsafe { (*self.0.as_ptr()).s_fs_info.cast::<Super>().as_mut() }
    }
}

/// A line for the kernel's own formatting traits.
struct Line<'a>(fmt::Arguments<'a>);

impl kernel::fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(self.0)
    }
}

fn errno(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// `file_system_type.init_fs_context`.
///
/// # Safety
///
/// Called by the VFS with a new context.
pub(super) unsafe extern "C" fn init(fc: *mut kernel::bindings::fs_context) -> c_int {
    let fc: *mut bindings::fs_context = fc.cast();
    let info = match KBox::new(Super::default(), GFP_KERNEL) {
        Ok(info) => info,
        Err(error) => return Error::from(error).to_errno(),
    };
    // SAFETY: By the caller.
    unsafe {
        (*fc).s_fs_info = KBox::into_raw(info).cast();
        (*fc).ops = (&raw const OPERATIONS.0).cast();
    }
    0
}

/// `fs_context_operations.free`.
///
/// # Safety
///
/// Called by the VFS with a context that `init` set up.
unsafe extern "C" fn free(fc: *mut bindings::fs_context) {
    // SAFETY: By the caller; null once a super block has it.
    let info = unsafe { (*fc).s_fs_info.cast::<Super>() };
    if !info.is_null() {
        // SAFETY: Made from a box in `init`.
        drop(unsafe { KBox::from_raw(info) });
    }
}

/// `fs_context_operations.parse_param`.
///
/// # Safety
///
/// Called by the VFS with a context that `init` set up, and a parameter.
unsafe extern "C" fn parse_param(
    fc: *mut bindings::fs_context,
    param: *mut bindings::fs_parameter,
) -> c_int {
    let mut parsed = bindings::fs_parse_result::default();
    // SAFETY: By the caller; the table ends with an empty entry.
    let index = unsafe { bindings::fs_parse(fc, parameters(), param, &mut parsed) };
    if index < 0 {
        // Not ours, perhaps the VFS's; or of the wrong form, and the parser has said so.
        return index;
    }
    let Some(key) = Key::from_index(index) else {
        return EINVAL.to_errno();
    };
    // SAFETY: By the caller; the parser saw to it that the value has the form of the option.
    let (fc, name, value) = unsafe {
        let Some(fc) = Context::from_raw(fc) else {
            return EINVAL.to_errno();
        };
        let value = match key.form() {
            Form::Flag => Value::None,
            Form::Number => Value::Number(*parsed.__bindgen_anon_1.uint_32.as_ref()),
            Form::Text => Value::Text(CStr::from_char_ptr((*param).__bindgen_anon_1.string)),
        };
        (fc, CStr::from_char_ptr((*param).key), value)
    };
    errno(set(fc, name, key, value))
}

fn set(fc: Context, name: &CStr, key: Key, value: Value<'_>) -> Result {
    let prefix = Prefix::new(None);
    let info = fc.info().ok_or(EINVAL)?;
    let name = name.to_str().map_err(|_| EINVAL)?;
    if key == Key::Deprecated {
        prefix.print(
            Level::Warning,
            format_args!("{name} mount option is deprecated."),
        );
    }
    info.options.set(name, key, value)?.map_err(|fault| {
        fc.refuse(&prefix, format_args!("{fault}"));
        EINVAL
    })
}

/// `fs_context_operations.get_tree`.
///
/// # Safety
///
/// Called by the VFS with a context that `init` set up.
unsafe extern "C" fn get_tree(fc: *mut bindings::fs_context) -> c_int {
    // SAFETY: By the caller.
    unsafe { bindings::get_tree_bdev(fc, Some(fill_super)) }
}

/// `fill_super` of `get_tree_bdev`.
///
/// # Safety
///
/// Called by the VFS with a new super block, which has our `s_fs_info`, and its context.
unsafe extern "C" fn fill_super(
    sb: *mut bindings::super_block,
    fc: *mut bindings::fs_context,
) -> c_int {
    // SAFETY: By the caller.
    let (Some(fc), Some(sb), Some(info)) = (unsafe {
        (
            Context::from_raw(fc),
            NonNull::new(sb),
            (*sb).s_fs_info.cast::<Super>().as_mut(),
        )
    }) else {
        return EINVAL.to_errno();
    };
    // SAFETY: By the caller: the super block is new, and ours until this returns.
    errno(unsafe { fill::fill(sb, info, fc) })
}

/// `fs_context_operations.reconfigure`.
///
/// Options that a remount cannot change are ignored, as the C driver does: `mount(8)` hands in all
/// that it finds in fstab.
///
/// # Safety
///
/// Called by the VFS with a context that `init` set up for a mounted file system.
unsafe extern "C" fn reconfigure(fc: *mut bindings::fs_context) -> c_int {
    // SAFETY: By the caller.
    let Some(context) = (unsafe { Context::from_raw(fc) }) else {
        return EINVAL.to_errno();
    };
    // SAFETY: By the caller: the root is that of a mounted file system of ours.
    let mount = unsafe {
        (*fc).sb_flags |= bindings::SB_I_VERSION as c_uint;
        Mount::of((*(*fc).root).d_sb)
    };
    let (Some(mount), Some(new)) = (mount, context.info()) else {
        return EINVAL.to_errno();
    };
    if let Err(fault) = new.options.check(context.is_read_only()) {
        mount.print(Level::Warning, format_args!("{fault}"));
        return EINVAL.to_errno();
    }
    if let Err(Refused(error, line)) = life::remount(mount, context.is_read_only()) {
        context.refuse(mount.prefix(), format_args!("{line}"));
        return error.to_errno();
    }
    mount.set_inode32(new.options.inode32);
    0
}
