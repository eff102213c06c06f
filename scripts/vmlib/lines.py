# SPDX-License-Identifier: GPL-2.0
"""The lines between the host and a machine, served until the run is over."""

import os
import selectors
import socket
import time

SO_SNDBUFFORCE = 32


class Line:
    """One end of a line; the machine is handed the other.

    `take` is called with the bytes that come from the machine.
    """

    def __init__(self, name, take):
        self.name = name
        self.take = take
        self.ours, self.theirs = socket.socketpair()
        # A serial line sends byte by byte, each accounted as a whole buffer,
        # and drops what does not fit.
        for end in (self.ours, self.theirs):
            end.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 16 << 20)
        self.open = True

    def send(self, data):
        """Sends bytes to the machine."""
        self.ours.sendall(data)

    def handed_over(self):
        """The machine has its end now: close ours of it."""
        self.theirs.close()


class Reader:
    """Takes bytes and calls `take` with each full line, as text."""

    def __init__(self, take):
        self.take = take
        self.rest = b""

    def __call__(self, data):
        *full, self.rest = (self.rest + data).split(b"\n")
        for line in full:
            self.take(line.rstrip(b"\r").decode("utf-8", "replace"))

    def end(self):
        """No more will come."""
        if self.rest:
            self.take(self.rest.rstrip(b"\r").decode("utf-8", "replace"))
            self.rest = b""


def serve(lines, until, deadline):
    """Serves `lines` until all are closed, `until()` holds or it is `deadline`.

    Says whether it ended before the deadline.
    """
    with selectors.DefaultSelector() as selector:
        for line in lines:
            if line.open:
                selector.register(line.ours, selectors.EVENT_READ, line)
        while selector.get_map() and not until():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for chosen, _ in selector.select(min(left, 0.5)):
                line = chosen.data
                try:
                    data = line.ours.recv(1 << 16)
                except ConnectionResetError:
                    data = b""
                if data:
                    line.take(data)
                else:
                    line.open = False
                    selector.unregister(line.ours)
    return True


def write_all(number, data):
    """Writes to a file descriptor of ours; a reader that went away is no error."""
    try:
        while data:
            data = data[os.write(number, data) :]
    except BrokenPipeError:
        pass
