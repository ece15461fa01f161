"""What stands between client and server, each described by a file in tests/bench/targets/."""

import glob
import os
import re
import shlex
import shutil
import socket
import subprocess
import time

from . import machine
from .postgres import DATABASE, MAX_CONNECTIONS, USER

# Direct clients, and those of a target that does not pool.
UNPOOLED_CLIENTS = 500
# What a target has to know is there: the names of "?name" lines.
FEATURES = ("tls", "leaks", "prepared")
KEYS = {"title", "command", "version", "port", "socket", "pools", "user"}


class Target:
    """A description. The same target runs in several forms, one after the other: see Running."""

    def __init__(self, path, places):
        self.name = os.path.basename(path).rsplit(".", 1)[0]
        self.values, self.files = _read(path)
        self.places = places
        self.title = self.values.get("title", self.name)
        self.pools = self.values.get("pools", "yes") == "yes"
        self.has_process = "command" in self.values
        self.version = ""
        # Feature to None (it is there) or the reason why not.
        self.lacks = {}

    def missing(self):
        """Why it cannot run at all, or None."""
        for key in ("command", "version"):
            program = shlex.split(_fill(self.values.get(key, ""), self.places, []))
            if program and not shutil.which(program[0]):
                return f"{program[0]} is not there"
        return None

    def find_version(self):
        if "version" in self.values:
            command = shlex.split(_fill(self.values["version"], self.places, []))
            said = subprocess.run(command, capture_output=True, text=True, timeout=10)
            self.version = (said.stdout + said.stderr).strip().split("\n")[0]

    def takes(self, clients):
        """Why it does not take so many clients, or None."""
        if not self.pools and clients > UNPOOLED_CLIENTS:
            return "it does not pool"
        return None

    def probe(self, server, load):
        """Finds out what it can do. Raises Failed when it does not even run a query."""
        self.find_version()
        with Running(self, server, {}) as plain:
            plain.check()
        for feature, check in (("tls", _check_tls), ("leaks", Running.check), ("prepared", _check_prepared)):
            try:
                with Running(self, server, {"pool_size": 2}, [feature]) as running:
                    check(running, load) if check is _check_prepared else check(running)
                self.lacks[feature] = None
            except machine.Failed as failed:
                self.lacks[feature] = str(failed)


def _read(path):
    """The values, and the files: each begins with a line "--- NAME"."""
    with open(path) as lines:
        head, *parts = re.split(r"^--- (\S+)\n", lines.read(), flags=re.MULTILINE)
    values = {}
    for number, line in enumerate(head.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        key, colon, value = line.partition(":")
        if not colon or key.strip() not in KEYS:
            raise machine.Failed(f"{path}:{number}: not one of {', '.join(sorted(KEYS))}")
        values[key.strip()] = value.strip()
    return values, dict(zip(parts[0::2], parts[1::2]))


def _fill(text, places, features):
    """Puts values in the place of @name@, and leaves out lines that begin with "?feature " of another feature."""
    lines = []
    for line in text.split("\n"):
        marked = re.match(r"\?(\w+) (.*)", line)
        if marked and marked[1] not in FEATURES:
            raise machine.Failed(f"unknown feature {marked[1]}: {line}")
        if not marked or marked[1] in features:
            lines.append(marked[2] if marked else line)
    return re.sub(r"@(\w+)@", lambda found: str(places[found[1]]) if found[1] in places else found[0], "\n".join(lines))


class Running:
    """A target that runs, in a directory of its own, with settings for one workload. `with` ends it."""

    def __init__(self, target, server, settings, features=(), patience_s=10):
        self.target = target
        self.patience_s = patience_s
        self.child = None
        self.owner = machine.unprivileged() if target.values.get("user") == "unprivileged" else None
        self.directory = machine.new_directory(self.owner)
        self.places = self._places(server, settings)
        self.port = int(self._filled(target.values["port"], ()))
        self.socket = self._filled(target.values["socket"], ()) if "socket" in target.values else None
        if target.has_process:
            self._start(features)

    def _places(self, server, settings):
        unix = settings.get("unix")
        port = machine.free_port()
        socket_path = f"{server.socket}/.s.PGSQL.{server.port}"
        return {
            **self.target.places,
            "dir": self.directory,
            "port": port,
            "server_host": server.socket if unix else "127.0.0.1",
            "server_port": server.port,
            "server_socket": server.socket,
            "server_address": socket_path if unix else f"127.0.0.1:{server.port}",
            "server_user": USER,
            "certificate": os.path.join(self.directory, "server.crt"),
            "key": os.path.join(self.directory, "server.key"),
            "scram_secret": server.scram_secret,
            "auth": settings.get("auth", "trust"),
            "pool_size": settings.get("pool_size", 20),
            "wait_limit_s": settings.get("wait_limit_s", 120),
            "max_clients": 12000,
            "max_unpooled": MAX_CONNECTIONS,
        }

    def _filled(self, text, features):
        return _fill(text, self.places, features)

    def _start(self, features):
        for name, text in self.target.files.items():
            self._write(name, self._filled(text, features))
        if "tls" in features:
            for name, text in self.target.places["certificate_files"].items():
                self._write(name, text)
        command = shlex.split(self._filled(self.target.values["command"], features))
        self.output = open(os.path.join(self.directory, "output"), "w+")
        self.child = machine.start(command, self.owner, stdout=self.output, stderr=self.output, cwd=self.directory)
        self._wait_until_it_answers()

    def _write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o600)
        if self.owner:
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)

    def _wait_until_it_answers(self):
        end = time.monotonic() + self.patience_s
        while self.child.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.01)
        said = self.said()
        self.close()
        raise machine.Failed(f"{self.target.name} does not start: {said}")

    def said(self):
        """The end of what it wrote, for an error's text."""
        self.output.seek(0)
        return " | ".join(self.output.read().strip().split("\n")[-3:])

    @property
    def pid(self):
        return self.child.pid if self.child else None

    def environment(self, user=USER, tls=False, unix=False):
        """For programs that use libpq."""
        return {
            "PATH": os.environ["PATH"],
            "PGHOST": self.socket if unix else "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": user,
            "PGPASSWORD": "scram secret",
            "PGDATABASE": DATABASE,
            "PGSSLMODE": "require" if tls else "disable",
            "PGGSSENCMODE": "disable",
            "PGCONNECT_TIMEOUT": "10",
        }

    def check(self, **environment):
        """A query gets its answer; else Failed."""
        done = subprocess.run(["psql", "-XAtqc", "SELECT 41 + 1"], env=self.environment(**environment), timeout=30,
                              capture_output=True, text=True)
        if done.returncode != 0 or done.stdout.strip() != "42":
            raise machine.Failed((done.stderr.strip() or done.stdout.strip() or "no answer").split("\n")[0])

    def close(self):
        if self.child:
            machine.stop(self.child, patience_s=0.5)
            self.output.close()
            self.child = None
        machine.remove_directory(self.directory)

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()


def _check_tls(running):
    running.check(tls=True)


def _check_prepared(running, load):
    """More clients than servers, each with a statement of the same name, which in turn get different servers."""
    done = subprocess.run([load, "--port", str(running.port), "--user", USER, "--database", DATABASE, "--clients", "6",
                           "--protocol", "prepared", "--transactions", "50", "--limit", "10", "SELECT 1"],
                          capture_output=True, text=True, timeout=30)
    if done.returncode != 0 or '"errors": 0,' not in done.stdout:
        raise machine.Failed((done.stderr.strip() or "transactions failed").removeprefix("load: "))


def find(directory, places):
    """All targets: direct first, then by name."""
    found = [Target(path, places) for path in sorted(glob.glob(os.path.join(directory, "*.target")))]
    return sorted(found, key=lambda target: target.name != "direct")
