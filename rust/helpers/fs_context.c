// SPDX-License-Identifier: GPL-2.0

#include <linux/fs_context.h>
#include <linux/fs_parser.h>

int xfs_helper_fs_parse(struct fs_context *fc,
			const struct fs_parameter_spec *desc,
			struct fs_parameter *param,
			struct fs_parse_result *result)
{
	return fs_parse(fc, desc, param, result);
}

/* Says a line of error to whoever set up the mount: fsopen's log, else dmesg. */
void xfs_helper_fc_error(struct fs_context *fc, const char *line)
{
	errorfc(fc, "%s", line);
}

void xfs_helper_fc_warn(struct fs_context *fc, const char *line)
{
	warnfc(fc, "%s", line);
}
