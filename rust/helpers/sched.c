// SPDX-License-Identifier: GPL-2.0

#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

unsigned int xfs_helper_memalloc_nofs_save(void)
{
	return memalloc_nofs_save();
}

void xfs_helper_memalloc_nofs_restore(unsigned int flags)
{
	memalloc_nofs_restore(flags);
}

bool xfs_helper_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}
