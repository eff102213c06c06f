// SPDX-License-Identifier: GPL-2.0

#include <linux/security.h>
#include <linux/xattr.h>

/* Whether security modules keep something of this superblock's inodes. */
bool xfs_helper_super_has_security(struct super_block *sb)
{
#ifdef CONFIG_SECURITY
	return sb->s_security != NULL;
#else
	return false;
#endif
}

int xfs_helper_label_new_inode(struct inode *inode,
		struct inode *dir, const struct qstr *qstr,
		int (*initxattrs)(struct inode *inode,
				  const struct xattr *xattrs, void *data),
		void *data)
{
	return security_inode_init_security(inode, dir, qstr, initxattrs, data);
}
