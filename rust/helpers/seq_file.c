// SPDX-License-Identifier: GPL-2.0

#include <linux/seq_file.h>

void xfs_helper_seq_show_option(struct seq_file *m, const char *name,
				const char *value)
{
	seq_show_option(m, name, value);
}
