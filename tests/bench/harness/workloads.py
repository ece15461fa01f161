"""The workloads, and what pgweir aims at with them."""

from dataclasses import dataclass, field

from .postgres import ROWS, ROW_BYTES, USER

SCALE = 20
SELECT_ONLY = "SELECT abalance FROM pgbench_accounts WHERE aid = :id"
SLEEP = "SELECT pg_sleep(0.01)"
POOL = 20


@dataclass
class Goal:
    """As a ratio to PgBouncer in the same run; calls and bytes as they are. None: no goal."""

    cpu: float = None
    calls: float = None
    bytes_each: float = None
    rss_mb: float = None
    of_ideal: float = None


@dataclass
class Workload:
    name: str
    title: str
    generator: str  # pgbench, load, bulk or idle
    clients: int = 1
    protocol: str = "simple"
    script: str = "tpcb-like"  # of pgbench
    query: str = ""  # of the load client
    unix: bool = False
    user: str = USER
    auth: str = "trust"
    feature: str = None  # that a target must have
    wishes: tuple = ()  # features that it is given where it has them
    pool_size: int = POOL
    wait_limit_s: int = 120
    leakers: int = 0
    overload: bool = False
    warm_up_s: float = 0.3
    seconds: float = None  # None: as long as all slices
    steps: tuple = ()
    load_options: list = field(default_factory=list)
    count_calls: bool = False
    goal: Goal = field(default_factory=Goal)

    @property
    def unit(self):
        return "MB" if self.generator == "bulk" else "tx"

    def settings(self):
        return {"unix": self.unix, "auth": self.auth, "pool_size": self.pool_size, "wait_limit_s": self.wait_limit_s}


def _select(script, protocol, clients, **more):
    """SELECT 1 or pgbench -S; by pgbench for as many clients as it serves well."""
    label = {"select-1": "SELECT 1", "select-only": "pgbench -S"}[script]
    feature = "prepared" if protocol == "prepared" else None
    workload = Workload(f"{script}-{protocol}-{clients}", f"{label}, {protocol}, {clients:,} client" + "s" * (clients > 1),
                        "pgbench", clients, protocol, script, feature=feature, **more)
    if clients > 64:
        workload.generator = "load"
        workload.query = "SELECT 1" if script == "select-1" else SELECT_ONLY
        workload.load_options = ["--range", str(SCALE * 100_000)]
    if clients >= 1000:
        workload.warm_up_s = 0.6
    return workload


def _bulk(name, title, query, goal):
    return Workload(name, title, "bulk", query=query, goal=Goal(cpu=goal), count_calls=True,
                    load_options=["--bulk", "--rows", str(ROWS), "--row-bytes", str(ROW_BYTES)])


def _overload(name, title, clients, full, **more):
    """With the wait limit of 3 s the first errors come after that time: the full form waits for them."""
    warm_up = (4.0 if full else 0.5) + clients / 3000
    return Workload(name, title, "load", clients, query=SLEEP, wait_limit_s=3, overload=True, warm_up_s=warm_up,
                    seconds=5.0 if full else 3.5, goal=Goal(of_ideal=0.99), **more)


def _aims():
    """What was asked for, by name of workload."""
    return {
        "select-only-simple-16": Goal(cpu=0.96, calls=4.3),
        "select-only-simple-64": Goal(cpu=0.85, calls=4.5),
        "select-1-simple-200": Goal(cpu=0.85, calls=4.5),
        "select-1-simple-1000": Goal(cpu=0.85, calls=4.5),
        "select-only-extended-64": Goal(cpu=0.88, calls=4.5),
    }


def _others():
    """What is not a select by TCP."""
    return [
        Workload("unix-64", "pgbench -S, unix sockets on both sides, 64 clients", "pgbench", 64, script="select-only",
                 unix=True, goal=Goal(cpu=0.85), count_calls=True),
        Workload("tpcb-32", "tpcb-like, 32 clients", "pgbench", 32, goal=Goal(cpu=0.92), count_calls=True),
        Workload("reconnect", "connect, SELECT 1, close (trust), 8 clients", "load", 8, query="SELECT 1",
                 load_options=["--reconnect"], goal=Goal(cpu=0.85), count_calls=True),
        _bulk("rows", "100,000 rows of 1 KB", "SELECT data FROM bench_rows", 0.40),
        _bulk("copy-out", "COPY out, rows of 1 KB", "COPY bench_rows TO STDOUT", 0.55),
        _bulk("copy-in", "COPY in, rows of 1 KB", "COPY bench_rows FROM STDIN WHERE false", 0.65),
    ]


def _marked(workloads):
    aims = _aims()
    for workload in workloads:
        if workload.name in aims:
            workload.goal = aims[workload.name]
            workload.count_calls = True
    return workloads


def quick():
    """The most telling ones, and system calls only for the first two."""
    selects = [_select("select-only", "simple", 16), _select("select-only", "simple", 64),
               _select("select-only", "extended", 64), _select("select-1", "simple", 1000)]
    others = [workload for workload in _others() if workload.name in ("tpcb-32", "reconnect", "rows", "copy-out")]
    chosen = _marked(selects) + others
    for workload in chosen[2:]:
        workload.count_calls = False
    return chosen + [
        _overload("overload-500", "500 clients, pg_sleep(0.01), wait limit 3 s", 500, False),
        Workload("idle", "idle clients", "idle", steps=(1000,), goal=Goal(bytes_each=512, rss_mb=8)),
    ]


def full():
    selects = [_select(script, protocol, clients) for clients in (1, 16, 64, 500, 5000)
               for script in ("select-1", "select-only") for protocol in ("simple", "extended", "prepared")]
    selects += [_select("select-1", "simple", clients) for clients in (200, 1000)]
    return _marked(selects) + _others() + [
        Workload("reconnect-scram", "connect, SELECT 1, close (SCRAM), 8 clients", "load", 8, query="SELECT 1",
                 load_options=["--reconnect", "--password", "scram secret"], user="u_scram", auth="scram-sha-256",
                 count_calls=True),
        Workload("tls-16", "pgbench -S, TLS of clients, 16 clients", "pgbench", 16, script="select-only", feature="tls"),
        _overload("overload-500", "500 clients, pg_sleep(0.01), wait limit 3 s", 500, True),
        _overload("overload-3000", "3,000 clients, pg_sleep(0.01), wait limit 3 s", 3000, True),
        _overload("overload-6000", "6,000 clients, pg_sleep(0.01), wait limit 3 s", 6000, True),
        _overload("leaks-20", "20 clients, of which 4 leak, pool of 10", 20, True, leakers=4, pool_size=10,
                  wishes=("leaks",)),
        _overload("leaks-50", "50 clients, of which 12 leak, pool of 10", 50, True, leakers=12, pool_size=10,
                  wishes=("leaks",)),
        Workload("idle", "idle clients", "idle", steps=(1000, 5000, 10000), goal=Goal(bytes_each=512, rss_mb=8)),
    ]
