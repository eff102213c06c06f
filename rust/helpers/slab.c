// SPDX-License-Identifier: GPL-2.0

#include <linux/slab.h>

/* kmem_cache_create() is a macro of several shapes. */
struct kmem_cache *xfs_helper_inode_cache_create(const char *name,
						 unsigned int size,
						 void (*init_once)(void *))
{
	return kmem_cache_create(name, size, 0,
				 SLAB_HWCACHE_ALIGN | SLAB_RECLAIM_ACCOUNT |
				 SLAB_ACCOUNT, init_once);
}
