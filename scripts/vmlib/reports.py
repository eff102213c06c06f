# SPDX-License-Identifier: GPL-2.0
"""Finds in a kernel's log what must fail a run."""

import re

# What the kernel prints first when something is wrong with it. A run's own
# errors (an I/O error, a corrupt file system) are none of these.
FIRST_LINE = re.compile(
    r"""(?x)
      ^(?:\[[^]]*\]\s*)*WARNING:\s
    | \bBUG:\s | \bkernel\ BUG\ at | \bBUG\ \w+.*:\ (?:Objects|Poison|Right|Left|Redzone|Object|Wrong)
    | \bOops\b:? | \bKernel\ panic | \bgeneral\ protection\ fault
    | \bKASAN:\s | \bUBSAN:\s | \bKCSAN:\s
    | \bunreferenced\ object\ 0x
    | \brefcount_t:\s | \blist_(?:add|del)\ corruption | \bODEBUG:\ (?!Out\ of|selftest|\d+\ of)
    | \bINFO:\ (?:possible\ |suspicious\ |trying\ to\ register\ |inconsistent\ lock)
    | \bsuspicious\ RCU\ usage
    | \bpossible\ (?:circular|recursive)\ locking
    | \brcu(?:_\w+)?:\ INFO:.*(?:stall|starved)
    | \brust_kernel:\ panicked | \bpanicked\ at\s
    """
)
# Lines that look so and are not.
HARMLESS = re.compile(
    r"""(?x)
      \bWARNING:\ (?:Spectre|L1TF|MDS|TAA)
    | \bvm:\s
    """
)
# After these the machine is not worth waiting for.
FATAL = re.compile(
    r"(?x) \bkernel\ BUG\ at | \bOops\b | \bKernel\ panic | \bgeneral\ protection\ fault"
    r" | \bBUG:\ (?:unable|kernel) | \bpanicked\ at\s"
)
# So much of the log belongs to a report: a few lines that lead up to it, and
# what follows.
BEFORE, AFTER = 3, 70


def find(lines):
    """The numbers of the lines where a report starts."""
    return [
        number
        for number, line in enumerate(lines)
        if FIRST_LINE.search(line) and not HARMLESS.search(line)
    ]


def fatal(line):
    """Does this line of the log end all hope?"""
    return bool(FATAL.search(line)) and not HARMLESS.search(line)


def excerpt(lines, limit=400):
    """The parts of the log with reports in them, as lines; empty if none."""
    wanted = set()
    for number in find(lines):
        wanted.update(range(max(0, number - BEFORE), min(len(lines), number + AFTER)))
    taken = [lines[number] for number in sorted(wanted)]
    if len(taken) > limit:
        taken = taken[:limit] + [f"... and {len(taken) - limit} lines more"]
    return taken
