// SPDX-License-Identifier: GPL-2.0

#include <linux/bit_spinlock.h>

void xfs_helper_bit_spin_lock(int bit, unsigned long *word)
{
	bit_spin_lock(bit, word);
}

void xfs_helper_bit_spin_unlock(int bit, unsigned long *word)
{
	bit_spin_unlock(bit, word);
}
