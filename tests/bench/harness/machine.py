"""Processes: starting them so that none is left behind, and reading from /proc what they have used."""

import atexit
import glob
import os
import pwd
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

_children = []
_directories = []


class Failed(Exception):
    """Something did not work that a line of the report can tell."""


def prepare():
    """Once, at the start: ends on signals as on exit, and has as many descriptors as the system lets it have."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _frame: sys.exit(128 + got))
    atexit.register(_clean_up)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _clean_up():
    for child in reversed(_children):
        stop(child)
    for directory in _directories:
        shutil.rmtree(directory, ignore_errors=True)


def new_directory(owner=None):
    """A directory with a short name, since unix sockets stand in it; removed at the end, or by remove_directory."""
    path = tempfile.mkdtemp(prefix="pgweir-bench-", dir=os.environ.get("TEST_TMP", "/tmp"))
    _directories.append(path)
    os.chmod(path, 0o755)
    if owner:
        os.chown(path, owner.pw_uid, owner.pw_gid)
    return path


def remove_directory(path):
    shutil.rmtree(path, ignore_errors=True)
    _directories.remove(path)


def unprivileged():
    """Who runs what refuses root: None when we are not root."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    raise Failed("started by root, and there is neither a user postgres nor nobody")


def start(command, owner=None, end_signal="KILL", **options):
    """Starts a process in a group of its own that gets `end_signal` when we are gone, however we go."""
    prefix = ["setpriv", "--pdeathsig", end_signal]
    if owner:
        prefix += ["--reuid", str(owner.pw_uid), "--regid", str(owner.pw_gid), "--clear-groups"]
    options.setdefault("stdin", subprocess.DEVNULL)
    child = subprocess.Popen(prefix + ["--"] + command, start_new_session=True, **options)
    _children.append(child)
    return child


def stop(child, first=signal.SIGTERM, patience_s=5.0):
    """Ends a process and its group: politely, then not."""
    if child.poll() is None:
        child.send_signal(first)
        try:
            child.wait(patience_s)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream:
            stream.close()
    if child in _children:
        _children.remove(child)


def free_port():
    """Free now, and below the ports that the kernel gives to outgoing connections."""
    for _ in range(1000):
        port = random.randrange(20000, 32768)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failed("no free port")


def settle(limit_s=0.4):
    """Waits until the machine has little to do, so that what one slice left is not paid by the next; or for the limit."""
    end = time.monotonic() + limit_s
    busy = _busy_s()
    while time.monotonic() < end:
        time.sleep(0.04)
        before, busy = busy, _busy_s()
        if busy - before < 0.011:
            return


def _busy_s():
    with open("/proc/stat") as stat:
        fields = [int(field) for field in stat.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def family(pid):
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:
        for path in glob.glob(f"/proc/{parent}/task/*/children"):
            try:
                with open(path) as children:
                    found += [int(child) for child in children.read().split()]
            except OSError:
                pass
    return found


class Usage:
    """What a process and its children have used until now: CPU in seconds, context switches."""

    def __init__(self, pid):
        self.time = time.monotonic()
        self.cpu_s = 0.0
        self.switches = 0
        for member in family(pid) if pid else []:
            try:
                self._add(member)
            except (OSError, ProcessLookupError):
                pass
        if pid:
            self.cpu_s += _children_s(pid)

    def _add(self, pid):
        # The process's own CPU clock: in nanoseconds, with the threads that have ended.
        self.cpu_s += time.clock_gettime(((~pid) << 3) | 2)
        for path in glob.glob(f"/proc/{pid}/task/*/status"):
            with open(path) as status:
                for line in status:
                    if "ctxt_switches" in line:
                        self.switches += int(line.split()[1])


def _children_s(pid):
    """CPU of those children that have ended and were waited for; for poolers that fork."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def memory_kb(pid, name):
    """A field of status (VmHWM, VmRSS, RssAnon) or of smaps_rollup (Pss), summed over the process and its children."""
    total = 0
    for member in family(pid):
        path = f"/proc/{member}/smaps_rollup" if name == "Pss" else f"/proc/{member}/status"
        try:
            with open(path) as lines:
                total += sum(int(line.split()[1]) for line in lines if line.startswith(name + ":"))
        except (OSError, ProcessLookupError):
            pass
    return total


def forget_peak(pid):
    """VmHWM begins anew."""
    for member in family(pid):
        try:
            with open(f"/proc/{member}/clear_refs", "w") as clear:
                clear.write("5")
        except OSError:
            pass
