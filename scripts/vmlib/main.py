# SPDX-License-Identifier: GPL-2.0
"""Runs one command in one machine, from the command line to the exit status."""

import os
import shutil
import signal
import sys
import tempfile
import time

from . import plan as plans
from . import reports
from .archive import Archive
from .lines import Line, Reader, serve, write_all
from .qemu import Qemu
from .uml import Uml

TIMED_OUT, FAILED = 124, 125
# Seconds that the machine may take for its last words once it is doomed, and
# for the stacks of its tasks; so long without a word, and it has said them all.
LAST_WORDS, STACKS, SILENCE = 40, 40, 3
# What the guest's power-cut has the kernel say.
POWER_CUT = "vm: power cut"


def say(text):
    """Speaks for scripts/vm itself."""
    sys.stdout.flush()
    write_all(2, f"vm: {text}\n".encode())


class Run:
    """One run: the kernel's log so far and what the guest said of it."""

    def __init__(self, plan):
        self.plan = plan
        self.log = []
        self.status = None
        self.broken = None
        self.ready_at = None
        self.ended_at = None
        self.over = False
        self.cut = False
        self.doomed_at = None
        self.heard_at = 0

    def kernel_says(self, line):
        """Takes a line of the kernel's log."""
        self.log.append(line)
        self.heard_at = time.monotonic()
        if self.plan.verbose:
            write_all(2, line.encode() + b"\n")
        if line.endswith(POWER_CUT):
            self.cut = True
        if self.doomed_at is None and reports.fatal(line):
            self.doomed_at = time.monotonic()

    def guest_says(self, line):
        """Takes a word of the guest's first process."""
        word, _, rest = line.partition(" ")
        if word == "ready":
            self.ready_at = len(self.log)
        elif word == "status":
            self.status = int(rest)
            self.ended_at = len(self.log)
        elif word == "broken":
            self.broken = rest
        elif word == "over":
            self.over = True

    def silent(self):
        """Has the kernel fallen silent?"""
        return time.monotonic() > self.heard_at + SILENCE

    def done(self):
        """Is there nothing to wait for: no power, or no hope?"""
        return self.cut or self.hopeless()

    def hopeless(self):
        """Is it pointless to wait on?"""
        if self.doomed_at is None:
            return False
        return self.silent() or time.monotonic() > self.doomed_at + LAST_WORDS


def write_initrd(plan, machine, path):
    """What the guest starts from and what this run brings along."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with Archive(path) as archive:
        archive.copy("init", os.path.join(here, "guest/init"))
        archive.copy("bin/busybox", os.path.join(plan.guest, "busybox"))
        if plan.kernel == "stock":
            archive.tree("vm/early", os.path.join(plan.guest, "early"))
        else:
            archive.tree("vm/modules", os.path.join(plan.modules, "lib/modules"))
        archive.copy("vm/guest", os.path.join(here, "guest/guest"))
        archive.copy("vm/symbols", os.path.join(here, "guest/symbols"))
        archive.data("vm/driver", plan.driver.encode())
        if plan.module and os.path.exists(plan.module):
            archive.copy("vm/xfs_rust.ko", plan.module)
        if plan.param:
            archive.data("vm/params", b"".join(word.encode() + b"\0" for word in plan.param))
        if plan.env:
            archive.data("vm/env", b"".join(word.encode() + b"\0" for word in plan.env))
        if plan.kernel == "debug" and not plan.no_leaks:
            archive.data("vm/leaks", b"")
        if plan.command:
            archive.data("vm/argv", b"".join(os.fsencode(word) + b"\0" for word in plan.command))
        else:
            archive.data("vm/term", os.environ.get("TERM", "linux").encode())
            columns, rows = shutil.get_terminal_size()
            archive.data("vm/winsize", f"rows {rows} cols {columns}".encode())
        machine.run_files(archive)


def make_disks(plan, folder):
    """The disks as files: those that were named, and empty ones."""
    plan.disks = []
    for number, (path, size) in enumerate(plan.disk, 1):
        if not path:
            path = os.path.join(folder, f"disk{number}")
            with open(path, "wb") as file:
                file.truncate(size)
        plan.disks.append((path, ""))


class Terminal:
    """Our terminal, handed to the guest's shell while it runs."""

    def __init__(self, line):
        import termios
        import tty

        self.termios = termios
        self.line = line
        self.saved = termios.tcgetattr(0)
        tty.setraw(0)

    def pump(self, lines, until):
        """Serves `lines` and our keys."""
        import selectors
        import threading

        stop = threading.Event()

        def keys():
            with selectors.DefaultSelector() as selector:
                selector.register(0, selectors.EVENT_READ)
                while not stop.is_set():
                    if selector.select(0.2):
                        data = os.read(0, 4096)
                        if not data:
                            return
                        self.line.send(data)

        thread = threading.Thread(target=keys, daemon=True)
        thread.start()
        serve(lines, until, float("inf"))
        stop.set()
        thread.join()

    def close(self):
        """Takes it back."""
        self.termios.tcsetattr(0, self.termios.TCSADRAIN, self.saved)


def conclude(run, in_time, machine):
    """The exit status; says what went wrong, if anything did."""
    plan = run.plan
    report = reports.excerpt(run.log)
    log = os.path.abspath(plan.log) if plan.log else None

    def show(lines):
        for line in lines:
            write_all(2, b"  | " + line.encode() + b"\n")

    def keep():
        nonlocal log
        if not log:
            kept = os.path.join(plan.logs, f"vm-{time.strftime('%H%M%S')}-{os.getpid()}.log")
            os.makedirs(plan.logs, exist_ok=True)
            log = kept
            with open(kept, "w", encoding="utf-8") as file:
                file.write("\n".join(run.log) + "\n")
        return log

    if report:
        say(f"the kernel reported a fault; the whole log is in {keep()}")
        show(report)
        return FAILED
    if run.cut:
        return 0
    if run.hopeless():
        say(f"the kernel died; the whole log is in {keep()}")
        show(run.log[-60:])
        return FAILED
    if not in_time:
        doing = "before the command started"
        if run.ready_at is not None:
            doing = "in the command" if run.status is None else "after the command, at unmount or unload"
        say(f"out of time after {plan.timeout:g} s, {doing}; stacks of blocked tasks (whole log: {keep()}):")
        show(run.log[-300:])
        return TIMED_OUT
    if run.broken:
        say(f"{run.broken}; the end of the kernel's log:")
        show(run.log[-25:])
        return FAILED
    if run.status is None:
        where = "while the command ran" if run.ready_at is not None else "before the command started"
        said = machine.complaint()
        say(f"the machine ended {where}; the whole log is in {keep()}")
        show(run.log[-25:] + said.splitlines()[-10:])
        return FAILED
    if not run.over:
        say(f"the machine ended before the driver was unloaded; the whole log is in {keep()}")
        show(run.log[-25:])
        return FAILED
    if run.status != 0 and plan.command and not plan.verbose:
        recent = run.log[run.ready_at : run.ended_at]
        recent = [line for line in recent if "vm: " not in line]
        if recent:
            say(f"the command ended with status {run.status}; the kernel's last words:")
            show(recent[-20:])
    return run.status


def run_in(folder, plan):
    """Runs the plan with its files in `folder`."""
    make_disks(plan, folder)
    machine = (Uml if plan.kernel == "uml" else Qemu)(plan, folder)
    initrd = os.path.join(folder, "initrd")
    write_initrd(plan, machine, initrd)

    run = Run(plan)
    kernel, guest = Reader(run.kernel_says), Reader(run.guest_says)
    console, control = Line("console", kernel), Line("ctl", guest)
    lines = [console, control]
    lines.append(Line("out", lambda data: write_all(1, data)))
    lines.append(Line("err", lambda data: write_all(2, data)))
    terminal = None
    if not plan.command:
        lines.append(Line("tty", lambda data: write_all(1, data)))

    in_time = True
    try:
        machine.start(initrd, lines)
        if plan.command:
            deadline = time.monotonic() + plan.timeout if plan.timeout else float("inf")
            in_time = serve(lines, run.done, deadline)
            if not in_time:
                machine.ask_stacks(console)
                run.heard_at = time.monotonic()
                serve(lines, run.silent, time.monotonic() + STACKS)
        else:
            terminal = Terminal(lines[-1])
            terminal.pump(lines, run.done)
    finally:
        if terminal:
            terminal.close()
        machine.stop()
    kernel.end()
    guest.end()
    if plan.log:
        with open(plan.log, "w", encoding="utf-8") as file:
            file.write("\n".join(run.log) + "\n")
    return conclude(run, in_time, machine)


def main():
    """What scripts/vm does once all that it takes is there."""
    plan = plans.parse(sys.argv[1:])
    plan.guest = os.environ["VM_GUEST"]
    plan.root = os.path.join(plan.guest, "root.img")
    plan.image = os.environ["VM_IMAGE"]
    plan.modules = os.environ.get("VM_MODULES")
    plan.module = plan.module or os.environ.get("VM_MODULE")
    plan.kvm = os.environ.get("VM_KVM") == "yes"
    plan.logs = os.environ["VM_LOGS"]
    plan.boot_words = plan.boot
    if not plan.command and not os.isatty(0):
        say("no COMMAND, and no terminal for a shell")
        return FAILED
    # Ended from outside: leave nothing behind.
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="xfs-rust-vm-") as folder:
        try:
            return run_in(folder, plan)
        except (OSError, RuntimeError) as error:
            say(f"the machine could not be had: {error}")
            return FAILED
