# SPDX-License-Identifier: GPL-2.0
# The workshop's front door: "make help" tells what there is.

# Kbuild reads this file too where it looks for Kbuild's.
ifneq ($(KERNELRELEASE),)
include $(src)/Kbuild
else

MAKEFLAGS += --no-print-directory

.PHONY: all module
all: module

ifdef KDIR
# Some other tree, with this machine's tools: those that built that kernel.
module:
	$(MAKE) -C $(KDIR) M=$(CURDIR) MO=$(CURDIR)/build/kdir CONFIG_XFS_RUST=m modules
	@echo $(CURDIR)/build/kdir/xfs_rust.ko
else
module:
	@scripts/build-module
endif

.PHONY: test test-long check kunit format
test:
	@scripts/run-tests

test-long:
	@scripts/run-tests --long

check:
	@scripts/check

kunit:
	@scripts/kunit

format:
	@scripts/in-builder scripts/lib/format-sources

.PHONY: demo
demo:
	@scripts/demo

.PHONY: bench
bench:
	@scripts/bench

.PHONY: vm
vm:
	@scripts/vm --memory 2048 --disk 8G --disk 8G

.PHONY: clean
clean:
	rm -rf build

.PHONY: help
help:
	@echo 'make             build/xfs_rust.ko for the stock kernel'
	@echo 'make KDIR=TREE   build/kdir/xfs_rust.ko for another kernel with CONFIG_RUST'
	@echo 'make demo        the main job, in virtual machines: reads what the C driver wrote; makes a tree, recovers it'
	@echo 'make test        all tests; scripts/run-tests NAME... runs some of them'
	@echo 'make test-long   the same tests at their full length'
	@echo 'make check       layout, lints, floors and documentation, no test'
	@echo 'make kunit       the tests inside the kernel, in user-mode Linux'
	@echo 'make bench       times beside the C driver; wants a machine that does nothing else'
	@echo 'make format      lay out all Rust files with rustfmt'
	@echo 'make vm          a shell in a virtual machine with the module loaded and two empty disks'
	@echo 'make clean       remove all that was built here; the cache stays'

endif
