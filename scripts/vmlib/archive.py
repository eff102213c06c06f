# SPDX-License-Identifier: GPL-2.0
"""Writes initial memory disks: cpio archives of the "newc" kind."""

import os
import stat


class Archive:
    """A cpio archive being written to `path`; to be used with `with`."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.count = 0
        self.folders = set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._entry("TRAILER!!!", 0, b"")
        self.file.close()

    def _entry(self, name, mode, data):
        self.count += 1
        name = name.encode() + b"\0"
        fields = (self.count, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
        self._padded(b"070701" + b"".join(b"%08X" % field for field in fields) + name)
        self._padded(data)

    def _padded(self, data):
        self.file.write(data + b"\0" * (-len(data) % 4))

    def _parents(self, name):
        folder = os.path.dirname(name)
        if folder and folder not in self.folders:
            self._parents(folder)
            self.folders.add(folder)
            self._entry(folder, stat.S_IFDIR | 0o755, b"")

    def data(self, name, data, mode=0o644):
        """Adds a file that holds `data`."""
        self._parents(name)
        self._entry(name, stat.S_IFREG | mode, data)

    def copy(self, name, path):
        """Adds the machine's file `path` as `name`."""
        with open(path, "rb") as source:
            self.data(name, source.read(), stat.S_IMODE(os.stat(path).st_mode))

    def tree(self, name, path):
        """Adds the regular files below the folder `path`."""
        for folder, _, files in os.walk(path):
            for file in files:
                full = os.path.join(folder, file)
                if os.path.isfile(full) and not os.path.islink(full):
                    self.copy(os.path.join(name, os.path.relpath(full, path)), full)
