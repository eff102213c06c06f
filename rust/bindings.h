/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Headers of the kernel that this module needs and whose bindings
 * kernel::bindings lacks in whole or in part. Sorted alphabetically.
 */

/* Before all that refers to its enum: bindgen issue 3179. */
#include <linux/hrtimer_types.h>

#include <linux/backing-dev.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/compat.h>
#include <linux/exportfs.h>
#include <linux/fiemap.h>
#include <linux/fileattr.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/fs_struct.h>
#include <linux/fsmap.h>
#include <linux/iomap.h>
#include <linux/iversion.h>
#include <linux/list_lru.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/pagemap.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/quotaops.h>
#include <linux/rwsem.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>
#include <linux/shrinker.h>
#include <linux/statfs.h>
#include <linux/uio.h>
#include <linux/vmalloc.h>
#include <linux/writeback.h>
#include <linux/xattr.h>
