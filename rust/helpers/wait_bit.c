// SPDX-License-Identifier: GPL-2.0

#include <linux/wait_bit.h>

/* Sleeps until no bit of @bits is set in @word. */
void xfs_helper_wait_while_bits(u32 *word, u32 bits)
{
	wait_var_event(word, !(smp_load_acquire(word) & bits));
}

/* Wakes those that sleep on @word, which must have been changed before. */
void xfs_helper_wake_word(u32 *word)
{
	smp_mb();
	wake_up_var(word);
}
