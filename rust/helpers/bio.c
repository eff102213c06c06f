// SPDX-License-Identifier: GPL-2.0

#include <linux/bio.h>

struct bio *xfs_helper_bio_alloc(struct block_device *bdev,
				 unsigned short nr_vecs, blk_opf_t opf,
				 gfp_t gfp)
{
	return bio_alloc(bdev, nr_vecs, opf, gfp);
}

/* Adds kernel memory, mapped by vmalloc or directly; false where it is full. */
bool xfs_helper_bio_add_memory(struct bio *bio, void *memory, unsigned int len)
{
	if (is_vmalloc_addr(memory))
		return bio_add_vmalloc(bio, memory, len);
	return bio_add_page(bio, virt_to_page(memory), len,
			    offset_in_page(memory)) == len;
}
