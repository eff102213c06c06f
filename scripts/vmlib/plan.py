# SPDX-License-Identifier: GPL-2.0
"""What machine is wanted: the command line of scripts/vm."""

import argparse
import os
import re

DESCRIPTION = """Runs COMMAND as root in a fresh throw-away virtual machine and ends with its
status; without COMMAND, gives a shell in one. What COMMAND prints is all that
is printed, unless something goes wrong."""

EPILOG = """In the machine the disks are $DISK1, $DISK2, ..., $DRIVER is the driver and
$XFS_RUST_KO our module. Its standard input is empty. "power-cut" there ends
the machine at once, as a power cut would, and the run with status 0.

Status 124: out of time; the stacks of blocked tasks are shown. 125: the kernel
reported a bug, a warning, a bad access, a locking fault or a leak, or the
machine could not be had or did not come to an end by itself. 126 and 127:
COMMAND could not be run."""

# The most that a user-mode kernel with modules can have, in MiB.
UML_MEMORY = 1536


def size(text):
    """A size in bytes: a number, or one with K, M, G or T."""
    match = re.fullmatch(r"(\d+)([KMGT]?)", text)
    if not match:
        return None
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[match[2]]


def split(text):
    """--disk: (file or None, size or None, QEMU's options for the device)."""
    if size(text) is not None:
        return None, size(text)
    return os.path.abspath(text), None


def parse(arguments):
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="vm",
        usage="scripts/vm [OPTION]... [-- COMMAND [ARG]...]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--kernel", choices=("stock", "debug", "uml"), default="stock", help="default: stock")
    add(
        "--driver",
        choices=("rust", "c", "both", "none"),
        default="rust",
        help="rust (default): ours as type xfs; c: the kernel's own; both: ours as xfs_rust beside it",
    )
    add("--disk", action="append", default=[], metavar="SIZE|FILE", type=split, help="a disk: empty, or FILE's content, kept")
    add("--share", metavar="DIR", help="DIR is /share in the machine")
    add("--memory", metavar="MiB", type=int, help="default: 1024, with the debug kernel 3072")
    add("--cpus", metavar="N", type=int, default=2, help="default: 2")
    add("--timeout", metavar="S", type=float, default=600, help="default: 600; 0 for none")
    add("--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter for our module")
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="a variable for COMMAND")
    add("--module", metavar="FILE", help="our module, if not the one built from this checkout")
    add("--boot", action="append", default=[], metavar="WORD", help="a word for the kernel's command line")
    add("--log", metavar="FILE", help="keep the kernel's log in FILE")
    add("--no-leaks", action="store_true", help="with the debug kernel, do not look for leaks")
    add("--verbose", action="store_true", help="show the kernel's log")
    add("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    plan = parser.parse_args(arguments)
    if plan.command[:1] == ["--"]:
        del plan.command[0]
    if plan.memory is None:
        plan.memory = 3072 if plan.kernel == "debug" else 1024
    if plan.cpus < 1 or plan.memory < 128 or plan.timeout < 0:
        parser.error("--cpus from 1, --memory from 128, --timeout from 0")
    # Modules lie above memory, and a call reaches no further than 2 GiB: past
    # that, user-mode Linux lets them jump astray.
    if plan.kernel == "uml" and plan.memory > UML_MEMORY:
        parser.error(f"--memory {plan.memory}: user-mode Linux takes at most {UML_MEMORY}")
    for path, _ in plan.disk:
        if path and not os.path.exists(path):
            parser.error(f"--disk {path}: no such file; make it first: truncate -s 1G {path}")
    if plan.share:
        plan.share = os.path.abspath(plan.share)
        if not os.path.isdir(plan.share):
            parser.error(f"--share {plan.share}: no such folder")
    for word in plan.env:
        if "=" not in word:
            parser.error(f"--env {word}: want NAME=VALUE")
    return plan
