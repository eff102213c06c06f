# SPDX-License-Identifier: GPL-2.0
"""A machine under QEMU: the stock kernel and the debug one."""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import time

from .lines import Line


def end_with_parent():
    """In a child: be killed when the parent dies, however it dies."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Qemu:
    """QEMU with one kernel, initial memory disk, image, disks and lines."""

    ROOT = "/dev/vda"

    def __init__(self, plan, folder):
        self.plan = plan
        self.folder = folder
        self.process = None
        self.share = None
        self.monitor = Line("monitor", lambda data: None)

    def run_files(self, archive):
        """Adds to the initial memory disk what the guest must know of us."""
        if self.plan.share:
            archive.data("vm/share", b"virtiofs")

    def _serve_share(self):
        socket_path = os.path.join(self.folder, "share.socket")
        daemon = shutil.which("virtiofsd") or "/usr/libexec/virtiofsd"
        with open(os.path.join(self.folder, "virtiofsd.log"), "wb") as log:
            self.share = subprocess.Popen(
                [daemon, "--socket-path", socket_path, "--shared-dir", self.plan.share]
                + ["--sandbox", "none", "--cache", "auto", "--xattr", "--log-level", "error"]
                + ["--inode-file-handles=never"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,
            )
        for _ in range(100):
            if os.path.exists(socket_path):
                return socket_path
            if self.share.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"virtiofsd, which serves the shared folder, does not start: {self.complaint()}")

    def start(self, initrd, lines):
        """Starts it. `lines` are console, ctl, out, err and perhaps tty."""
        plan = self.plan
        command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"]
        command += ["-no-reboot", "-machine", "pc,hpet=off" if plan.kvm else "pc"]
        command += ["-smp", str(plan.cpus)]
        words = []
        if plan.kvm:
            command += ["-accel", "kvm", "-cpu", "host"]
        else:
            # Five-level paging costs emulation time, and KASAN trips over it.
            command += ["-accel", "tcg,thread=multi", "-cpu", "max,la57=off"]
            # The share's daemon writes into the machine's memory past the emulator, which then does
            # not see that code has changed, and runs old translations of it. Where the kernel clears
            # each page that it takes, as Debian's does, it forgets them in time.
            words = ["init_on_alloc=1"]
        memory = f"{plan.memory}M"
        if plan.share:
            command += ["-object", f"memory-backend-memfd,id=memory,size={memory},share=on"]
            command += ["-machine", "memory-backend=memory"]
        command += ["-m", memory, "-kernel", plan.image, "-initrd", initrd]
        words += ["console=ttyS0", f"vm.root={self.ROOT}", "panic=-1", "sysrq_always_enabled"]
        # A machine that shares its processors with others is slow, not stuck.
        words += ["nosoftlockup", "nowatchdog", "rcupdate.rcu_cpu_stall_timeout=240"]
        words += ["workqueue.watchdog_thresh=0", "tsc=reliable", "loglevel=7", "mitigations=off"]
        words += ["hung_task_panic=0", "printk.devkmsg=on", "kunit.enable=1", "kunit.autorun=1", "kunit.filter_glob=xfs_rust*"] + plan.boot_words
        command += ["-append", " ".join(words)]

        for index, (path, options) in enumerate([(plan.root, "readonly=on,file.locking=off")] + plan.disks):
            serial = "root" if index == 0 else f"disk{index}"
            drive = f"id={serial},if=none,format=raw,cache=unsafe,discard=unmap"
            command += ["-drive", f"file={path.replace(',', ',,')},{drive},{options}".rstrip(",")]
            command += ["-device", f"virtio-blk-pci,drive={serial},serial={serial}"]

        passed = []
        command += ["-device", "virtio-serial-pci"]
        for line in lines + [self.monitor]:
            passed.append(line.theirs.fileno())
            command += ["-chardev", f"socket,id={line.name},fd={line.theirs.fileno()}"]
            if line.name == "console":
                command += ["-serial", "chardev:console"]
            elif line.name == "tty":
                command += ["-device", "virtconsole,chardev=tty,name=tty"]
            elif line.name != "monitor":
                command += ["-device", f"virtserialport,chardev={line.name},name={line.name}"]
        command += ["-mon", "chardev=monitor,mode=control"]
        if plan.share:
            command += ["-chardev", f"socket,id=share,path={self._serve_share()}"]
            command += ["-device", "vhost-user-fs-pci,chardev=share,tag=share"]

        with open(os.path.join(self.folder, "qemu.log"), "wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=passed,
                preexec_fn=end_with_parent,
            )
        for line in lines + [self.monitor]:
            line.handed_over()
        self._tell("qmp_capabilities")

    def _tell(self, command, **arguments):
        request = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        try:
            self.monitor.send(json.dumps(request).encode() + b"\n")
        except OSError:
            pass

    def ask_stacks(self, console):
        """Has the kernel print the stacks of blocked tasks and busy processors."""
        for key in b"wl":
            self._tell("chardev-send-break", id="console")
            time.sleep(0.3)
            try:
                console.send(bytes([key]))
            except OSError:
                return
            time.sleep(0.3)

    def complaint(self):
        """What QEMU itself had to say."""
        said = ""
        for name in ("qemu.log", "virtiofsd.log"):
            try:
                with open(os.path.join(self.folder, name), encoding="utf-8", errors="replace") as log:
                    said += log.read()
            except FileNotFoundError:
                pass
        return said.strip()

    def stop(self):
        """Ends it, now."""
        for process in (self.process, self.share):
            if process and process.poll() is None:
                process.kill()
            if process:
                process.wait()
