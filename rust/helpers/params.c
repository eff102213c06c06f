// SPDX-License-Identifier: GPL-2.0
/*
 * Parameters of the module that Rust's module! cannot declare yet: strings.
 */

#include <linux/moduleparam.h>

static char *fs_name = "xfs";
module_param(fs_name, charp, 0444);
MODULE_PARM_DESC(fs_name,
	"Name of the file system type to register, \"xfs\" by default; with another name this driver serves beside the C one");

#ifdef CONFIG_XFS_RUST_KUNIT_TEST
static char *kunit_disk = "";
module_param(kunit_disk, charp, 0444);
MODULE_PARM_DESC(kunit_disk, "Device with an XFS that the KUnit suites read");

const char *xfs_helper_param_kunit_disk(void)
{
	return kunit_disk;
}
#endif

const char *xfs_helper_param_fs_name(void)
{
	return fs_name;
}
