#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Fails where libxfs/ gives up what keeps it from panicking.

The compiler proves it, by lints that libxfs/mod.rs sets. This sees to it that
they stay set and that no file lifts one, and finds the plainest offences even
in code that is not compiled. What the compiler works out while it builds, a
const or a static, may lift them: there a panic is an error of the build.
"""

import re
import subprocess
import sys

LINTS = """unwrap_used expect_used panic unreachable todo unimplemented indexing_slicing
arithmetic_side_effects""".split()
FORBIDDEN = re.compile(r"\bunsafe\b|\.unwrap\(\)|\.expect\(|\b(?:panic|todo|unimplemented|unreachable)!")
LIFTED = re.compile(r"#!?\[(?:allow|expect)\(([^)]*)\)")

CONSTANT = re.compile(r"\s*(?:pub(?:\([^)]*\))? )?(?:const|static) ")


def code(text):
    """The source with its comments, strings and unit tests blanked."""
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r'b?"(?:\\.|[^"\\])*"', lambda m: '""' + "\n" * m[0].count("\n"), text, flags=re.S)
    tests = re.search(r"#\[cfg\(test\)\]\s*mod \w+ \{", text)
    return text[: tests.start()] if tests else text


def faults(path, text):
    """What is wrong in one file, as lines."""
    if path == "libxfs/mod.rs":
        if "#![forbid(unsafe_code)]" not in text:
            yield f"{path}: wants #![forbid(unsafe_code)]"
        denied = " ".join(re.findall(r"#!\[(?:deny|forbid)\((.*?)\)\]", text, flags=re.S))
        for lint in LINTS:
            if f"clippy::{lint}" not in denied:
                yield f"{path}: wants clippy::{lint} denied"
    lines = code(text).split("\n")
    for number, line in enumerate(lines, 1):
        offence = FORBIDDEN.search(line)
        if offence and "forbid(unsafe_code)" not in line:
            yield f"{path}:{number}: {offence[0]}"
        lifted = LIFTED.search(line)
        constant = number < len(lines) and CONSTANT.match(lines[number])
        for lint in LINTS if lifted and not constant else ():
            if f"clippy::{lint}" in lifted[1]:
                yield f"{path}:{number}: lifts clippy::{lint}"


def main():
    """Looks at every file of libxfs/."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "libxfs/*.rs"], capture_output=True, text=True, check=True
    )
    bad = 0
    for path in sorted(set(listed.stdout.split())):
        # Unit tests kept in a file of their own.
        if path.endswith("/tests.rs") or "/tests/" in path:
            continue
        with open(path, encoding="utf-8") as file:
            for fault in faults(path, file.read()):
                print(fault)
                bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
