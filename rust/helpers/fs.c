// SPDX-License-Identifier: GPL-2.0

#include <linux/fs.h>

void xfs_helper_i_uid_write(struct inode *inode, uid_t uid)
{
	i_uid_write(inode, uid);
}

void xfs_helper_i_gid_write(struct inode *inode, gid_t gid)
{
	i_gid_write(inode, gid);
}
