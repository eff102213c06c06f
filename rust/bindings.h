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
#include <linux/crc32.h>
#include <linux/exportfs.h>
#include <linux/fadvise.h>
#include <linux/fiemap.h>
#include <linux/fileattr.h>
#include <linux/filelock.h>
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
#include <linux/percpu_counter.h>
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

/* Macros that bindgen cannot evaluate. */
const gfp_t XFS_CONST_GFP_NOFS = GFP_NOFS;
const gfp_t XFS_CONST_GFP_READ_AHEAD =
	GFP_NOFS | __GFP_NORETRY | __GFP_NOWARN;
const gfp_t XFS_CONST_GFP_TRY_LARGE =
	(GFP_KERNEL & ~__GFP_DIRECT_RECLAIM) | __GFP_NORETRY | __GFP_NOWARN;
const blk_opf_t XFS_CONST_REQ_FUA = REQ_FUA;
const blk_opf_t XFS_CONST_REQ_IDLE = REQ_IDLE;
const blk_opf_t XFS_CONST_REQ_META = REQ_META;
const blk_opf_t XFS_CONST_REQ_PREFLUSH = REQ_PREFLUSH;
const blk_opf_t XFS_CONST_REQ_RAHEAD = REQ_RAHEAD;
const blk_opf_t XFS_CONST_REQ_SYNC = REQ_SYNC;
const blk_mode_t XFS_CONST_BLK_OPEN_READ = BLK_OPEN_READ;
const blk_mode_t XFS_CONST_BLK_OPEN_WRITE = BLK_OPEN_WRITE;
const blk_mode_t XFS_CONST_BLK_OPEN_RESTRICT_WRITES = BLK_OPEN_RESTRICT_WRITES;
const unsigned int XFS_CONST_SHRINKER_NUMA_AWARE = SHRINKER_NUMA_AWARE;
const unsigned long XFS_CONST_SB_RDONLY = SB_RDONLY;
const unsigned long XFS_CONST_SB_SYNCHRONOUS = SB_SYNCHRONOUS;
const unsigned long XFS_CONST_SB_LAZYTIME = SB_LAZYTIME;
const unsigned long XFS_CONST_SB_DIRSYNC = SB_DIRSYNC;
const unsigned long XFS_CONST_SB_SILENT = SB_SILENT;
const unsigned long XFS_CONST_SB_POSIXACL = SB_POSIXACL;
const unsigned long XFS_CONST_SB_I_VERSION = SB_I_VERSION;
const unsigned long XFS_CONST_SB_I_CGROUPWB = SB_I_CGROUPWB;
const unsigned long XFS_CONST_SB_I_ALLOW_HSM = SB_I_ALLOW_HSM;
const fmode_t XFS_CONST_FMODE_CAN_ODIRECT = FMODE_CAN_ODIRECT;
const fmode_t XFS_CONST_FMODE_NOCMTIME = FMODE_NOCMTIME;
const fmode_t XFS_CONST_FMODE_NOWAIT = FMODE_NOWAIT;
const fop_flags_t XFS_CONST_FOP_BUFFER_RASYNC = FOP_BUFFER_RASYNC;
const fop_flags_t XFS_CONST_FOP_DONTCACHE = FOP_DONTCACHE;
const unsigned int XFS_CONST_IOCB_DIRECT = IOCB_DIRECT;
const unsigned int XFS_CONST_IOCB_NOWAIT = (__force unsigned int)IOCB_NOWAIT;
