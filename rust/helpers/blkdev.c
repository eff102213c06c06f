// SPDX-License-Identifier: GPL-2.0

#include <linux/blkdev.h>

sector_t xfs_helper_bdev_nr_sectors(struct block_device *bdev)
{
	return bdev_nr_sectors(bdev);
}

unsigned int xfs_helper_bdev_logical_block_size(struct block_device *bdev)
{
	return bdev_logical_block_size(bdev);
}

bool xfs_helper_bdev_read_only(struct block_device *bdev)
{
	return bdev_read_only(bdev);
}

unsigned int xfs_helper_bdev_max_discard_sectors(struct block_device *bdev)
{
	return bdev_max_discard_sectors(bdev);
}

unsigned int xfs_helper_bdev_dma_alignment(struct block_device *bdev)
{
	return bdev_dma_alignment(bdev);
}
