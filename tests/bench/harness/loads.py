"""One slice: a load against one target, and what the target has used for it.

What is used is taken between two moments of a steady load, without its beginning and end: log-ins and warming up are not
in it. A slice is a dict:

	rate        transactions, or megabytes, in a second
	cpu_us      of the target, for a transaction or megabyte
	switches    context switches of the target, likewise
	peak_mb     the most memory that the target had
	mean_ms p50_ms p95_ms p99_ms p999_ms
	errors      their share of all transactions; codes: how often which SQLSTATE
"""

import json
import os
import queue
import re
import signal
import subprocess
import threading
import time

from . import machine
from .postgres import DATABASE, USER

# pgbench's first transactions are not looked at: it is still connecting, or the pool is. On a machine that is busy this
# may take longer; then the slice is done again, with more.
RAMP_S = 0.3
RAMPS = (1, 3, 10)
# The longest that connecting all clients of a load may take.
CONNECT_LIMIT_S = 60


class Programs:
    """Where the load generators are."""

    def __init__(self, pgbench, load):
        self.pgbench = pgbench
        self.load = load


def _used(before, after, rate):
    """What a unit costs when the load has run at that rate."""
    seconds = after.time - before.time
    if rate <= 0:
        return {}
    return {"cpu_us": (after.cpu_s - before.cpu_s) / seconds / rate * 1e6,
            "switches": (after.switches - before.switches) / seconds / rate}


def _with_target(running, slice_):
    if running.pid:
        slice_["peak_mb"] = machine.memory_kb(running.pid, "VmHWM") / 1024
    else:
        for name in ("cpu_us", "switches"):
            slice_.pop(name, None)
    return slice_


# ---- pgbench ----

def pgbench_command(programs, workload, seconds, prefix):
    command = [programs.pgbench, "-n", "-M", workload.protocol, "-c", str(workload.clients), "-T", str(seconds), "-l",
               "--log-prefix", prefix]
    if workload.script == "select-only":
        command.append("-S")
    elif workload.script == "select-1":
        command += ["-f", os.path.join(os.path.dirname(__file__), "select-1.sql")]
    return command


def pgbench_environment(running, workload):
    return running.environment(user=workload.user, tls=workload.feature == "tls", unix=workload.unix)


class Late(machine.Failed):
    """The load was not there yet when we began to look."""


def run_pgbench(programs, running, workload, seconds):
    for ramp in RAMPS:
        try:
            extra = round((ramp - 1) * RAMP_S + 0.49)
            return _run_pgbench(programs, running, workload, ramp * RAMP_S, seconds + extra)
        except Late as late:
            failed = late
    raise failed


def _run_pgbench(programs, running, workload, ramp_s, seconds):
    """pgbench writes down when each transaction ended and how long it took; we count those between our two looks."""
    directory = machine.new_directory()
    prefix = os.path.join(directory, "log")
    if running.pid:
        machine.forget_peak(running.pid)
    child = machine.start(pgbench_command(programs, workload, seconds, prefix), cwd=directory,
                          env=pgbench_environment(running, workload), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    try:
        time.sleep(ramp_s)
        begin, before = time.time(), machine.Usage(running.pid)
        time.sleep(seconds - ramp_s - 0.05)
        end, after = time.time(), machine.Usage(running.pid)
        said = child.communicate(timeout=seconds + CONNECT_LIMIT_S)[0]
        if child.returncode != 0:
            raise machine.Failed("pgbench: " + last_error(said))
        times = times_between(prefix, begin, end)
    except subprocess.TimeoutExpired:
        raise machine.Failed("pgbench does not end") from None
    finally:
        machine.stop(child)
        machine.remove_directory(directory)
    rate = len(times) / (end - begin)
    return _with_target(running, {"rate": rate, "errors": 0.0, **percentiles(times), **_used(before, after, rate)})


def last_error(said):
    lines = [line for line in said.strip().split("\n") if "error" in line or "FATAL" in line]
    return (lines or said.strip().split("\n"))[-1]


def read_log(prefix):
    """When each transaction ended (seconds since 1970), and how long it took (microseconds)."""
    for name in log_files(prefix):
        with open(name) as log:
            for line in log:
                fields = line.split()
                if len(fields) == 6:
                    yield int(fields[4]) + int(fields[5]) / 1e6, int(fields[2])


def times_between(prefix, begin, end):
    """How long those transactions took that ended between two moments, in which the load was there all the time."""
    log = list(read_log(prefix))
    if not log or min(ended - took / 1e6 for ended, took in log) > begin:
        raise Late("pgbench did not get to work in time")
    times = [took for ended, took in log if begin <= ended < end]
    if not times:
        raise machine.Failed("no transaction ended while it was measured")
    return times


def log_files(prefix):
    directory, name = os.path.split(prefix)
    return [os.path.join(directory, file) for file in os.listdir(directory) if file.startswith(name + ".")]


def percentiles(times):
    times.sort()

    def at(share):
        return times[min(len(times) - 1, int(len(times) * share))] / 1000
    return {"mean_ms": sum(times) / len(times) / 1000, "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99),
            "p999_ms": at(0.999)}


# ---- the load client ----

class Lines:
    """The lines that a child writes, as they come, each with the time at which it came."""

    def __init__(self, child):
        self.queue = queue.Queue()
        self.thread = threading.Thread(target=self._read, args=(child.stdout,), daemon=True)
        self.thread.start()

    def _read(self, stream):
        for line in stream:
            self.queue.put(line.rstrip("\n"))
        self.queue.put(None)

    def until(self, word, limit_s):
        """Skips to the line that begins with the word; what follows the word."""
        end = time.monotonic() + limit_s
        while True:
            try:
                line = self.queue.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise machine.Failed(f"the load was not {word} within {limit_s:.0f} s") from None
            if line is None:
                raise machine.Failed("the load has ended")
            if line.startswith(word):
                return line[len(word):].strip()


def load_command(programs, running, workload, warm_up_s, seconds, more=()):
    host = running.socket if workload.unix else "127.0.0.1"
    command = [programs.load, "--host", host, "--port", str(running.port), "--user", workload.user, "--database",
               DATABASE, "--clients", str(workload.clients), "--warm-up", str(warm_up_s), "--seconds", str(seconds),
               "--limit", str(int(CONNECT_LIMIT_S + warm_up_s + seconds + 30)), "--protocol", workload.protocol]
    if workload.leakers:
        command += ["--leakers", str(workload.leakers)]
    return command + [*workload.load_options, *more, workload.query]


def start_load(command):
    return machine.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def why(child, failed):
    """What the load says when it ends early."""
    if child.poll() is None:
        return failed
    return machine.Failed((child.stderr.read().strip() or str(failed)).split("\n")[-1])


def run_load(programs, running, workload, warm_up_s, seconds):
    if running.pid:
        machine.forget_peak(running.pid)
    child = start_load(load_command(programs, running, workload, warm_up_s, seconds))
    lines = Lines(child)
    try:
        lines.until("connected", CONNECT_LIMIT_S)
        lines.until("begin", warm_up_s + 20)
        before = machine.Usage(running.pid)
        result = json.loads(lines.until("result", seconds + 20))
        after = machine.Usage(running.pid)
    except machine.Failed as failed:
        raise why(child, failed) from None
    finally:
        machine.stop(child)
    if "bytes" in result:
        rate = result["bytes"] / 1e6 / result["seconds"]
        return _with_target(running, {"rate": rate, **_used(before, after, rate)})
    if not workload.overload and result["errors"] + result["login_errors"] > 0:
        raise machine.Failed(f"{result['errors']} errors, {result['login_errors']} log-ins failed: {result['codes']}")
    return _with_target(running, _load_slice(result, before, after))


def _load_slice(result, before, after):
    rate = result["transactions"] / result["seconds"]
    tried = result["transactions"] + result["errors"]
    slice_ = {"rate": rate, "errors": result["errors"] / tried if tried else 1.0, "codes": result["codes"],
              "login_errors": result["login_errors"], "evicted": result["evicted"]}
    for name in ("mean", "p50", "p95", "p99", "p999"):
        slice_[name + "_ms"] = result[name + "_us"] / 1000
    return {**slice_, **_used(before, after, rate)}


# So many clients have a pool opened, with all that belongs to it; those that come after them are counted.
FIRST_IDLE = 100


def run_idle(programs, running, steps):
    """Memory with so many clients that have asked once and rest; for each step. bytes_each: of ours, for a client."""
    pid = running.pid
    found = {0: _memory(pid)}
    command = [programs.load, "--port", str(running.port), "--user", USER, "--database", DATABASE, "--clients",
               str(max(steps)), "--idle", "--limit", "120", "SELECT 1"]
    child = machine.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = Lines(child)
    try:
        for step in (FIRST_IDLE, *steps):
            child.stdin.write(f"{step}\n")
            child.stdin.flush()
            lines.until("connected", CONNECT_LIMIT_S)
            time.sleep(0.1)
            found[step] = _memory(pid)
            if step > FIRST_IDLE:
                grown_kb = found[step]["anon_kb"] - found[FIRST_IDLE]["anon_kb"]
                found[step]["bytes_each"] = grown_kb * 1024 / (step - FIRST_IDLE)
    except machine.Failed as failed:
        raise why(child, failed) from None
    finally:
        machine.stop(child)
    return found


def _memory(pid):
    return {"rss_mb": machine.memory_kb(pid, "VmRSS") / 1024, "pss_mb": machine.memory_kb(pid, "Pss") / 1024,
            "anon_kb": machine.memory_kb(pid, "RssAnon")}


# ---- system calls ----

CALLS_S = 1.0


def count_calls(programs, running, workload):
    """System calls of the target for a unit of work, by name: strace counts, the load says how far it is."""
    directory = machine.new_directory()
    try:
        counter = _count_under_pgbench if workload.generator == "pgbench" else _count_under_load
        calls, done = counter(programs, running, workload, directory)
    finally:
        machine.remove_directory(directory)
    if done <= 0:
        raise machine.Failed("nothing was done while system calls were counted")
    return {name: number / done for name, number in calls.items()}


def _count_under_pgbench(programs, running, workload, directory):
    prefix = os.path.join(directory, "log")
    child = machine.start(pgbench_command(programs, workload, 3, prefix), stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, env=pgbench_environment(running, workload), cwd=directory)
    try:
        time.sleep(3 * RAMP_S)
        calls, begin, end = _trace(running.pid, os.path.join(directory, "calls"))
        child.wait(timeout=CONNECT_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise machine.Failed("pgbench does not end") from None
    finally:
        machine.stop(child)
    return calls, len(times_between(prefix, begin, end))


def _count_under_load(programs, running, workload, directory):
    child = start_load(load_command(programs, running, workload, 0.2, CONNECT_LIMIT_S, ["--ticks"]))
    lines = Lines(child)
    try:
        lines.until("begin", CONNECT_LIMIT_S)
        calls, begin, end = _trace(running.pid, os.path.join(directory, "calls"))
        done = _between(lines, begin, end)
    except machine.Failed as failed:
        raise why(child, failed) from None
    finally:
        machine.stop(child)
    return calls, done / 1e6 if workload.generator == "bulk" else done


def _between(lines, begin, end):
    """How far the load came between two moments, from its ticks."""
    first = last = None
    while last is None or last[0] < end:
        when, count = lines.until("at", 5).split()
        last = (float(when), int(count))
        if first is None or last[0] <= begin:
            first = last
    return (last[1] - first[1]) * (end - begin) / (last[0] - first[0])


def _trace(pid, path):
    command = ["strace", "-c", "-f", "-U", "calls,name", "-o", path]
    for member in machine.family(pid):
        command += ["-p", str(member)]
    tracer = machine.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        said = tracer.stderr.readline()
        if "attached" not in said:
            raise machine.Failed("strace: " + said.strip())
        begin = time.time()
        time.sleep(CALLS_S)
        tracer.send_signal(signal.SIGINT)
        end = time.time()
        tracer.wait(10)
    except subprocess.TimeoutExpired:
        raise machine.Failed("strace does not end") from None
    finally:
        machine.stop(tracer)
    with open(path) as table:
        rows = re.findall(r"^\s*(\d+)\s+(\w+)$", table.read(), flags=re.MULTILINE)
    return {name: int(number) for number, name in rows if name != "total"}, begin, end
