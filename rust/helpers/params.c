// SPDX-License-Identifier: GPL-2.0
/*
 * Parameters of the module that Rust's module! cannot declare yet: strings.
 */

#include <linux/moduleparam.h>

static char *fs_name = "xfs";
module_param(fs_name, charp, 0444);
MODULE_PARM_DESC(fs_name,
	"Name of the file system type to register, \"xfs\" by default; with another name this driver serves beside the C one");

const char *xfs_helper_param_fs_name(void)
{
	return fs_name;
}
