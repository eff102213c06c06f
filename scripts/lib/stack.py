#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""stack.py MODULE: fails where a path of calls through the module goes too deep.

The kernel's stack is 16 KiB, and what lies above and below a path takes some of it:
the system call and the VFS before it, reclaim or the block layer at its end. So no
path of calls inside the module may take more than LIMIT bytes. The frames are read
from the machine code; a call through a pointer is not followed, so what is called
that way counts as a path of its own. Which path is taken when is not known: the
figure is an upper bound, of paths that no data leads to, too.
"""

import re
import subprocess
import sys

LIMIT = 14 * 1024
# Frames of the path that is shown.
SHOWN = 60

FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")
FRAME = re.compile(r"\tsub +\$0x([0-9a-f]+),%rsp")
CALL = re.compile(r"\t(?:call|jmp) +[0-9a-f]+ <([^+>]*)")
RELOCATION = re.compile(r"R_X86_64_(?:PLT32|PC32)\t([^\s+-]+)")


def read(module):
    """Bytes of the frame of each function, return address included, and what it calls."""
    listing = subprocess.run(
        ["objdump", "-dr", "--no-show-raw-insn", module],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    frames, calls, name, pending = {}, {}, None, False
    for line in listing.splitlines():
        if found := FUNCTION.match(line):
            name, pending = found[1], False
            frames[name], calls[name] = 8, set()
        elif name is None:
            continue
        elif found := RELOCATION.search(line):
            if pending:
                calls[name].add(found[1])
            pending = False
        elif found := CALL.search(line):
            # Where a relocation follows, that is what is called.
            pending = True
            if found[1] != name:
                calls[name].add(found[1])
        else:
            pending = False
            if found := FRAME.search(line):
                frames[name] += int(found[1], 16)
            elif "\tpush " in line:
                frames[name] += 8
    return frames, calls


def deepest(frames, calls):
    """The deepest path from each function; a call back into the path is not followed."""
    paths, active = {}, set()

    def walk(name):
        if name in paths:
            return paths[name]
        if name not in frames or name in active:
            return 0, ()
        active.add(name)
        below = max((walk(called) for called in calls[name]), default=(0, ()))
        active.discard(name)
        paths[name] = frames[name] + below[0], (name, *below[1])
        return paths[name]

    sys.setrecursionlimit(10000)
    for name in frames:
        walk(name)
    return paths


def demangled(names):
    text = subprocess.run(
        ["c++filt", "-s", "rust"], input="\n".join(names), check=True, capture_output=True, text=True
    ).stdout
    return [re.sub(r"\[[0-9a-f]+\]|xfs_rust_main::", "", line) for line in text.splitlines()]


def main():
    frames, calls = read(sys.argv[1])
    depth, path = max(deepest(frames, calls).values())
    if depth <= LIMIT:
        print(f"the deepest path takes {depth} bytes of the stack")
        return
    print(f"a path of calls takes {depth} bytes of the stack, {LIMIT} are allowed:")
    for name, text in list(zip(path, demangled(path)))[:SHOWN]:
        print(f"{frames[name]:6} {text[:150]}")
    sys.exit(1)


main()
