// SPDX-License-Identifier: GPL-2.0
/*
 * Inline functions and macros of the kernel as functions that Rust can call:
 * xfs_helper_NAME is NAME in the module's bindings. Laid out as the kernel's
 * rust/helpers. One file a header, sorted alphabetically.
 */

#include "bio.c"
#include "bit_spinlock.c"
#include "blkdev.c"
#include "fs.c"
#include "fs_context.c"
#include "iomap.c"
#include "kdev_t.c"
#include "nodemask.c"
#include "pagemap.c"
#include "params.c"
#include "percpu_counter.c"
#include "posix_acl.c"
#include "sched.c"
#include "security.c"
#include "seq_file.c"
#include "slab.c"
#include "wait_bit.c"
