// SPDX-License-Identifier: GPL-2.0
/*
 * Inline functions and macros of the kernel as functions that Rust can call:
 * xfs_helper_NAME is NAME in the module's bindings. Laid out as the kernel's
 * rust/helpers. One file a header, sorted alphabetically.
 */

#include "bio.c"
#include "fs.c"
