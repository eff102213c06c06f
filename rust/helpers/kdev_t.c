// SPDX-License-Identifier: GPL-2.0

#include <linux/kdev_t.h>

u32 xfs_helper_new_encode_dev(dev_t dev)
{
	return new_encode_dev(dev);
}
