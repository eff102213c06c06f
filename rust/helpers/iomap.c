// SPDX-License-Identifier: GPL-2.0

#include <linux/iomap.h>

ssize_t xfs_helper_iomap_dio_read_simple(struct kiocb *iocb,
					 struct iov_iter *iter,
					 iomap_iter_begin_fn begin)
{
	return iomap_dio_read_simple(iocb, iter, begin);
}
