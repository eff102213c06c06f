# SPDX-License-Identifier: GPL-2.0
"""A machine that is a program of this one: user-mode Linux."""

import os
import signal
import socket
import struct
import subprocess

from .qemu import end_with_parent


class Uml:
    """User-mode Linux with one initial memory disk, image, disks and lines."""

    ROOT = "/dev/ubda"
    # The guest finds its lines by these numbers.
    SERIAL = {"ctl": 0, "out": 1, "err": 2, "tty": 3}

    def __init__(self, plan, folder):
        self.plan = plan
        self.folder = folder
        self.process = None

    def run_files(self, archive):
        """Adds to the initial memory disk what the guest must know of us."""
        if self.plan.share:
            archive.data("vm/share", self.plan.share.encode())
        disks = [f"{n} /dev/ubd{chr(ord('a') + n)}\n" for n in range(1, len(self.plan.disks) + 1)]
        archive.data("vm/disks", "".join(disks).encode())

    def start(self, initrd, lines):
        """Starts it. `lines` are console, ctl, out, err and perhaps tty."""
        plan = self.plan
        command = [plan.image, f"mem={plan.memory}M", f"initrd={initrd}", f"umid=vm{os.getpid()}"]
        command += [f"uml_dir={self.folder}", "con=null", "ssl=null", f"vm.root={self.ROOT}", "panic=-1"]
        command += ["seccomp=on", f"ncpus={plan.cpus}", "sysrq_always_enabled", "loglevel=7"]
        command += ["printk.devkmsg=on", "kunit.enable=1", "kunit.autorun=1", "kunit.filter_glob=xfs_rust*", "rcupdate.rcu_cpu_stall_timeout=240"] + plan.boot_words
        command += [f"ubd0r={plan.root}"]
        for index, (path, _) in enumerate(plan.disks):
            command.append(f"ubd{index + 1}={path}")
        passed = []
        for line in lines:
            number = line.theirs.fileno()
            passed.append(number)
            if line.name == "console":
                command.append(f"con0=null,fd:{number}")
                command.append("console=tty0")
            else:
                command.append(f"ssl{self.SERIAL[line.name]}=fd:{number},fd:{number}")
        with open(os.path.join(self.folder, "uml.log"), "wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=passed,
                cwd=self.folder,
                env=dict(os.environ, TMPDIR="/dev/shm"),
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
        for line in lines:
            line.handed_over()

    def ask_stacks(self, _console):
        """Has the kernel print the stacks of blocked tasks."""
        path = os.path.join(self.folder, f"vm{os.getpid()}", "mconsole")
        for key in ("w", "l"):
            word = f"sysrq {key}".encode()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                try:
                    line.bind(os.path.join(self.folder, f"ask-{key}"))
                    line.settimeout(2)
                    line.sendto(struct.pack("=III512s", 0xCAFEBABE, 2, len(word), word), path)
                    line.recv(1 << 16)
                except OSError:
                    return

    def complaint(self):
        """What the program itself had to say."""
        with open(os.path.join(self.folder, "uml.log"), encoding="utf-8", errors="replace") as log:
            return log.read().strip()

    def stop(self):
        """Ends it, now, with the processes that it runs its own in."""
        if not self.process:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
