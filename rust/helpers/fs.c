// SPDX-License-Identifier: GPL-2.0

#include <linux/blkdev.h>
#include <linux/fs.h>
#include <linux/iversion.h>
#include <linux/pagemap.h>
#include <linux/posix_acl.h>

void xfs_helper_i_uid_write(struct inode *inode, uid_t uid)
{
	i_uid_write(inode, uid);
}

void xfs_helper_i_gid_write(struct inode *inode, gid_t gid)
{
	i_gid_write(inode, gid);
}

uid_t xfs_helper_i_uid_read(const struct inode *inode)
{
	return i_uid_read(inode);
}

gid_t xfs_helper_i_gid_read(const struct inode *inode)
{
	return i_gid_read(inode);
}

/* Whom a new inode of @dir belongs to, where nothing is inherited. */
void xfs_helper_owner_of_new(struct mnt_idmap *idmap, struct inode *dir,
			     uid_t *uid, gid_t *gid)
{
	struct user_namespace *ns = i_user_ns(dir);

	*uid = from_kuid(ns, mapped_fsuid(idmap, ns));
	*gid = from_kgid(ns, mapped_fsgid(idmap, ns));
}

void xfs_helper_i_size_write(struct inode *inode, loff_t size)
{
	i_size_write(inode, size);
}

void xfs_helper_inode_set_atime(struct inode *inode, time64_t sec, long nsec)
{
	inode_set_atime(inode, sec, nsec);
}

void xfs_helper_inode_set_mtime(struct inode *inode, time64_t sec, long nsec)
{
	inode_set_mtime(inode, sec, nsec);
}

void xfs_helper_inode_set_ctime(struct inode *inode, time64_t sec, long nsec)
{
	inode_set_ctime(inode, sec, nsec);
}

struct timespec64 xfs_helper_inode_get_atime(const struct inode *inode)
{
	return inode_get_atime(inode);
}

struct timespec64 xfs_helper_inode_get_mtime(const struct inode *inode)
{
	return inode_get_mtime(inode);
}

struct timespec64 xfs_helper_inode_get_ctime(const struct inode *inode)
{
	return inode_get_ctime(inode);
}

/*
 * The present, as inodes get it whose times nobody has asked for: that of the
 * device's inode, whose type does not have finer ones.
 */
struct timespec64 xfs_helper_coarse_time(struct super_block *sb)
{
	return current_time(sb->s_bdev->bd_mapping->host);
}

u64 xfs_helper_inode_count_change(struct inode *inode, bool force)
{
	inode_maybe_inc_iversion(inode, force);
	return inode_peek_iversion(inode);
}

/* The inode was read just now. */
void xfs_helper_inode_stamp_access(struct inode *inode)
{
	inode_set_atime_to_ts(inode, current_time(inode));
}

/* The inode was changed just now. */
void xfs_helper_inode_stamp_change(struct inode *inode)
{
	inode_set_ctime_current(inode);
}

/* Its content was changed just now. */
void xfs_helper_inode_stamp_content(struct inode *inode)
{
	inode_set_mtime_to_ts(inode, inode_set_ctime_current(inode));
}

void xfs_helper_inode_set_iversion_queried(struct inode *inode, u64 version)
{
	inode_set_iversion_queried(inode, version);
}

/* No page cache allocation of this inode enters a file system. */
void xfs_helper_inode_mapping_no_fs(struct inode *inode)
{
	mapping_set_gfp_mask(inode->i_mapping,
			     mapping_gfp_mask(inode->i_mapping) & ~__GFP_FS);
}

/* Metadata files: no LSM, ACL or handle is to touch them. */
void xfs_helper_inode_make_private(struct inode *inode)
{
	inode->i_flags |= S_PRIVATE;
	inode->i_opflags &= ~IOP_XATTR;
}

void xfs_helper_inode_without_xattrs(struct inode *inode)
{
	inode_has_no_xattr(inode);
	cache_no_acl(inode);
}

void xfs_helper_remove_inode_hash(struct inode *inode)
{
	remove_inode_hash(inode);
}

bool xfs_helper_inode_is_new(struct inode *inode)
{
	return inode_state_read_once(inode) & I_NEW;
}

void xfs_helper_super_set_uuid(struct super_block *sb, const u8 *uuid,
			       unsigned int len)
{
	super_set_uuid(sb, uuid, len);
}

void xfs_helper_set_posix_acl_flag(struct super_block *sb)
{
#ifdef CONFIG_FS_POSIX_ACL
	sb->s_flags |= SB_POSIXACL;
#endif
}

u64 xfs_helper_huge_encode_dev(dev_t dev)
{
	return huge_encode_dev(dev);
}

size_t xfs_helper_mapping_max_folio_size_supported(void)
{
	return mapping_max_folio_size_supported();
}

bool xfs_helper_ratelimit(struct ratelimit_state *rs)
{
	return __ratelimit(rs);
}

void xfs_helper_ratelimit_state_init(struct ratelimit_state *rs, int interval,
				     int burst)
{
	ratelimit_state_init(rs, interval, burst);
}

void xfs_helper_file_accessed(struct file *file)
{
	file_accessed(file);
}

void xfs_helper_sb_start_intwrite(struct super_block *sb)
{
	sb_start_intwrite(sb);
}

void xfs_helper_sb_end_intwrite(struct super_block *sb)
{
	sb_end_intwrite(sb);
}

/* Who writes to the file system may take several semaphores of one class. */
void xfs_helper_down_write_of_writer(struct rw_semaphore *sem,
				     struct super_block *sb)
{
	down_write_nest_lock(sem, &sb->s_writers.rw_sem[SB_FREEZE_FS - 1]);
	/*
	 * The right to write may end before the semaphore is let go of, and to
	 * lockdep what nests in it would have to end first. It has seen the
	 * order that we came in: from here on each is held by itself.
	 */
	rwsem_release(&sem->dep_map, _RET_IP_);
	rwsem_acquire(&sem->dep_map, 0, 1, _RET_IP_);
}
