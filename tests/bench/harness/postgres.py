"""The private PostgreSQL that all targets lead to."""

import os
import signal
import subprocess
import time

from . import machine

USER = "u_trust"
DATABASE = "bench"
# Above the most direct clients, and every pool.
MAX_CONNECTIONS = 700
ROWS = 100_000
ROW_BYTES = 1024

SETTINGS = f"""
max_connections = {MAX_CONNECTIONS}
shared_buffers = 512MB
max_wal_size = 8GB
checkpoint_timeout = 1h
ssl = on
"""


class Postgres:
    """Made anew for every run by tests/support/postgres.sh, or one that runs already, named by its directory."""

    def __init__(self, root, directory=None):
        self.script = os.path.join(root, "tests/support/postgres.sh")
        self.child = None
        self.directory = directory
        self.scram_secret = ""
        if directory:
            self._read_env()
            return
        self.directory = os.path.join(machine.new_directory(), "postgres")
        self._start()

    def _start(self):
        self.log = open(self.directory + ".err", "a")
        self.child = machine.start([self.script, "run", self.directory], end_signal="TERM", stderr=self.log,
                                   stdout=self.log)
        end = time.monotonic() + 60
        while not self._is_ready():
            if self.child.poll() is not None or time.monotonic() > end:
                with open(self.directory + ".err") as log:
                    raise machine.Failed("PostgreSQL did not start: " + log.read()[-2000:])
            time.sleep(0.02)
        self._read_env()

    def _is_ready(self):
        try:
            with open(os.path.join(self.directory, "data/postmaster.pid")) as pid:
                return pid.read().split("\n")[-2].strip() == "ready"
        except (OSError, IndexError):
            return False

    def _read_env(self):
        with open(os.path.join(self.directory, "env")) as env:
            values = dict(line.strip().split("=", 1) for line in env)
        self.socket = values["PGHOST"]
        self.port = int(values["PGPORT"])
        self.data = values["PGDATA"]
        self.programs = values["PGBIN"]

    def stop(self):
        if self.child:
            machine.stop(self.child, signal.SIGINT, patience_s=20)
            self.child = None
            self.log.close()

    def program(self, name):
        return os.path.join(self.programs, name)

    def set_up(self, scale):
        """The settings, and the tables of pgbench and of rows."""
        self._make_certificate()
        with open(os.path.join(self.data, "postgresql.conf"), "a") as conf:
            conf.write(SETTINGS)
        self.stop()
        self._start()
        self.sql(f"CREATE DATABASE {DATABASE} OWNER {USER}", "postgres")
        subprocess.run([self.program("pgbench"), "-iq", "-s", str(scale), "-h", self.socket, "-p", str(self.port), "-U",
                        USER, DATABASE], check=True, capture_output=True)
        self.sql("GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC")
        self.sql(f"CREATE UNLOGGED TABLE bench_rows AS SELECT i::bigint AS id, repeat('x', {ROW_BYTES}) AS data "
                 f"FROM generate_series(1, {ROWS}) i")
        self.sql("GRANT ALL ON bench_rows TO PUBLIC")
        self.sql("VACUUM ANALYZE")
        self.sql("CHECKPOINT")
        # Once more, so that poolers can check clients without the password itself.
        self.scram_secret = self.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'u_scram'")

    def _make_certificate(self):
        key, certificate = (os.path.join(self.data, name) for name in ("server.key", "server.crt"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj",
                        "/CN=localhost", "-keyout", key, "-out", certificate], check=True, capture_output=True)
        os.chmod(key, 0o600)
        owner = machine.unprivileged()
        if owner:
            for path in (key, certificate):
                os.chown(path, owner.pw_uid, owner.pw_gid)

    def sql(self, statement, database=DATABASE, user=None):
        """As the superuser where nobody else is named; what it says, as text."""
        done = subprocess.run([self.program("psql"), "-XAtq", "-h", self.socket, "-p", str(self.port), "-U",
                               user or "postgres", "-d", database, "-v", "ON_ERROR_STOP=1", "-c", statement],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise machine.Failed(f"{statement}: {done.stderr.strip()}")
        return done.stdout.strip()
