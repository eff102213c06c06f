// SPDX-License-Identifier: GPL-2.0

#include <linux/percpu_counter.h>

int xfs_helper_percpu_counter_init(struct percpu_counter *fbc, s64 amount)
{
	return percpu_counter_init(fbc, amount, GFP_KERNEL);
}

void xfs_helper_percpu_counter_destroy(struct percpu_counter *fbc)
{
	percpu_counter_destroy(fbc);
}

void xfs_helper_percpu_counter_add(struct percpu_counter *fbc, s64 amount,
				   s32 batch)
{
	percpu_counter_add_batch(fbc, amount, batch);
}

int xfs_helper_percpu_counter_compare(struct percpu_counter *fbc, s64 rhs,
				      s32 batch)
{
	return __percpu_counter_compare(fbc, rhs, batch);
}

s64 xfs_helper_percpu_counter_sum_positive(struct percpu_counter *fbc)
{
	return percpu_counter_sum_positive(fbc);
}

s64 xfs_helper_percpu_counter_read_positive(struct percpu_counter *fbc)
{
	return percpu_counter_read_positive(fbc);
}
