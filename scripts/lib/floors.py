#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Fails on a Rust file that uses something from a floor above its own.

The floors, from the ground up: rust/ (0), libxfs/format/ (1), libxfs/ (2), the
engine, which is fs/ where it has threads (3), fs/ (4), tests/ (5). libxfs/ runs
on the host too, so it stands on nothing of rust/, unless a line #[cfg(CONFIG_...)]
before it says that the host goes another way; and libxfs/format/ stands on
nothing but core and zerocopy.
"""

import os
import re
import subprocess
import sys

# The engine's parts of fs/.
ENGINE = ("buf", "health", "icache", "log", "reports")
# Crates that a floor may use beside this one.
OUTSIDE = {1: {"core", "zerocopy"}, 2: {"core", "zerocopy", "kernel"}}
OTHER_CRATES = {"core", "alloc", "std", "kernel", "zerocopy", "macros", "pin_init"}

TOKEN = re.compile(r"[A-Za-z_]\w*|::|[{},;*]")


def floor(path):
    """The floor of a module or file, by its path from the root: "libxfs/btree"."""
    parts = path.split("/")
    match parts:
        case ["rust", *_]:
            return 0
        case ["libxfs", "format", *_]:
            return 1
        case ["libxfs", *_]:
            return 2
        case ["fs", part, *_] if part in ENGINE:
            return 3
        case ["fs", *_]:
            return 4
        case ["tests", *_]:
            return 5
    return None


def stripped(text):
    """The source without comments, strings and its tests."""
    text = re.sub(r'//[^\n]*|/\*.*?\*/', lambda m: "\n" * m[0].count("\n"), text, flags=re.S)
    text = re.sub(r'b?"(?:\\.|[^"\\])*"', lambda m: '"' + "\n" * m[0].count("\n") + '"', text, flags=re.S)
    return text


def use_paths(text):
    """Each path that a `use` line brings in, as (line number, [segment...])."""
    for match in re.finditer(r"\buse\s+([^;]+);", text):
        line = text.count("\n", 0, match.start()) + 1
        tokens = TOKEN.findall(match[1])
        yield from ((line, path) for path in expand(tokens))


def expand(tokens):
    """The paths of a tree such as a::{b, c::d}."""
    position = 0

    def tree(prefix):
        nonlocal position
        path = list(prefix)
        while position < len(tokens):
            token = tokens[position]
            if token == "{":
                position += 1
                while tokens[position] != "}":
                    yield from tree(path)
                    if tokens[position] == ",":
                        position += 1
                position += 1
                return
            if token in (",", "}"):
                break
            position += 1
            if token == "as":
                position += 1
            elif token != "::":
                path.append(token)
        yield path

    yield from tree([])


def inline_paths(text):
    """Paths in the code that start at the crate's root or go up from here."""
    for match in re.finditer(r"(?<![\w:$])(?:crate|super)(?:::\w+)+", text):
        yield text.count("\n", 0, match.start()) + 1, match[0].split("::")


def module_of(path):
    """The module that a file is, as segments: libxfs/btree/mod.rs is libxfs, btree."""
    parts = path.removesuffix(".rs").split("/")
    if parts[-1] == "mod":
        parts.pop()
    return parts


def resolve(path, module, children):
    """The segments from the crate's root, or the name of another crate."""
    if path and path[0] in children:
        return list(module) + path, None
    if path and path[0] == "crate":
        return path[1:], None
    if path and path[0] in ("super", "self"):
        here = list(module)
        rest = list(path)
        while rest and rest[0] in ("super", "self"):
            if rest.pop(0) == "super" and here:
                here.pop()
        return here + rest, None
    if path and path[0] in OTHER_CRATES:
        return None, path[0]
    return None, None


def faults(path, text):
    """What is wrong in one file, as lines."""
    own = floor(path)
    text = stripped(text)
    module = module_of(path)
    lines = text.split("\n")
    children = set(re.findall(r"\bmod\s+(\w+)", text))
    found = [(line, used, True) for line, used in use_paths(text)]
    uses = {line for line, _, _ in found}
    found += [(line, used, False) for line, used in inline_paths(text) if line not in uses]
    for line, used, whole in found:
        inside, crate = resolve(used, module, children)
        if crate and own in OUTSIDE and crate not in OUTSIDE[own]:
            yield f"{path}:{line}: {'::'.join(used)}: floor {own} may use {', '.join(sorted(OUTSIDE[own]))} alone"
        if inside is None or not inside:
            continue
        # "use super::x" in a nested module may stop short of a floor: no harm.
        target = floor("/".join(inside))
        if target is None:
            continue
        if target > own and not (whole and len(inside) < len(module) and module[: len(inside)] == inside):
            yield f"{path}:{line}: {'::'.join(used)} is on floor {target}, this file on floor {own}"
        gated = line > 1 and lines[line - 2].strip().startswith("#[cfg(CONFIG_")
        if own in (1, 2) and target == 0 and not gated:
            yield f"{path}:{line}: {'::'.join(used)}: libxfs/ runs without rust/"


def main():
    """Looks at every Rust file that is tracked, or not tracked yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.rs"], capture_output=True, text=True, check=True
    )
    bad = 0
    for path in sorted(set(listed.stdout.split())):
        own = floor(path)
        # Tests may use all; the root declares the floors.
        if own in (None, 5) or not os.path.exists(path):
            continue
        with open(path, encoding="utf-8") as file:
            for fault in faults(path, file.read()):
                print(fault)
                bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
