// SPDX-License-Identifier: GPL-2.0

#include <linux/pagemap.h>

void xfs_helper_mapping_set_folio_min_order(struct address_space *mapping,
					    unsigned int min)
{
	mapping_set_folio_min_order(mapping, min);
}
