"""Runs the workloads: all targets take turns in every round, so that what changes on the machine with time falls on all
alike; ratios are taken within a round."""

import contextlib
import dataclasses
import statistics
import time

from . import loads, machine
from .targets import UNPOOLED_CLIENTS, Running

DIRECT = "direct"
REFERENCE = "pgbouncer"
# What a slice takes besides its time: starting, ending, settling.
SLICE_EXTRA_S = 0.45
CONNECT_S = 0.0003
CALLS_S = 3.5
WORKLOAD_EXTRA_S = 0.8


@dataclasses.dataclass
class Shape:
    """How often and how long."""

    rounds: int
    seconds: int


class Bench:
    """All that a run needs, and its results: for each workload what each target reached."""

    def __init__(self, server, programs, targets, deadline, say):
        self.server = server
        self.programs = programs
        self.targets = targets
        self.deadline = deadline
        self.say = say
        self.results = {}
        self.skipped = []

    def skip(self, what, why):
        self.skipped.append(f"{what}: {why}")
        self.say(f"skipped  {what}: {why}")

    # ---- who takes part ----

    def takers(self, workload):
        """The targets that can run it; the others are said. None when there is nothing to compare."""
        takers = []
        for target in self.targets:
            why = self._why_not(target, workload)
            if why:
                self.skip(f"{workload.title}, {target.title}", why)
            else:
                takers.append(target)
        if workload.feature and not any(target.pools for target in takers):
            self.skip(workload.title, "no pooler can do it")
            return []
        return takers

    def _why_not(self, target, workload):
        if workload.overload:
            return None if target.pools or target.name == DIRECT else "it does not pool"
        if workload.generator == "idle" and not target.has_process:
            return "it is no process"
        if workload.feature and target.lacks.get(workload.feature):
            return target.lacks[workload.feature]
        if workload.unix and "socket" not in target.values:
            return "it has no unix socket"
        return target.takes(max(workload.clients, *workload.steps, 0))

    def _features(self, target, workload):
        features = [workload.feature] if workload.feature else []
        for wish in workload.wishes:
            if target.has_process and target.lacks.get(wish):
                self.skip(f"{wish} of {target.title} in: {workload.title}", target.lacks[wish])
            else:
                features.append(wish)
        return features

    # ---- how long it takes ----

    def _estimate(self, workload, shape):
        takers = [target for target in self.targets if not self._why_not(target, workload)]
        if workload.feature and not any(target.pools for target in takers):
            return 0.0
        if workload.generator == "idle":
            return len(takers) * (2 + max(workload.steps) * CONNECT_S)
        slice_s = (workload.seconds or shape.seconds) + SLICE_EXTRA_S + workload.clients * CONNECT_S
        if workload.generator != "pgbench":
            slice_s += workload.warm_up_s
        rounds = self._rounds(workload, shape)
        measured = sum(1 for target in takers if target.has_process) if workload.count_calls else 0
        return WORKLOAD_EXTRA_S + len(takers) * rounds * slice_s + measured * CALLS_S

    def _rounds(self, workload, shape):
        return max(1, shape.rounds - 1) if workload.overload else shape.rounds

    def shape(self, workloads, shapes):
        """The first of the shapes, the best one, that fits into the time."""
        left = self.deadline - time.monotonic()
        for shape in shapes:
            estimate = sum(self._estimate(workload, shape) for workload in workloads)
            if estimate <= left:
                break
        self.say(f"{shape.rounds} rounds of {shape.seconds} s, about {estimate:.0f} s in all")
        return shape

    # ---- running ----

    def run(self, workloads, shape):
        for workload in workloads:
            if time.monotonic() + self._estimate(workload, shape) > self.deadline + 10:
                self.skip(workload.title, "no time left")
                continue
            takers = self.takers(workload)
            if takers:
                self._run_workload(workload, takers, shape)

    def _run_workload(self, workload, takers, shape):
        slices = {target.name: [] for target in takers}
        calls = {}
        self.say(f"running  {workload.title}")
        with contextlib.ExitStack() as stack:
            running = {}
            for target in takers:
                try:
                    running[target.name] = stack.enter_context(
                        Running(target, self.server, workload.settings(), self._features(target, workload)))
                except machine.Failed as failed:
                    self.skip(f"{workload.title}, {target.title}", str(failed))
            if workload.generator == "idle":
                self._run_idle(workload, running)
                return
            for number in range(self._rounds(workload, shape)):
                self._run_round(workload, running, number, shape, slices)
            if workload.count_calls:
                calls = self._count_calls(workload, running)
        self.results[workload.name] = Result(workload, slices, calls).summary()

    def _run_round(self, workload, running, number, shape, slices):
        """Every target once, each round beginning with another."""
        names = list(running)
        turn = number % len(names) if names else 0
        for name in names[turn:] + names[:turn]:
            machine.settle()
            try:
                slices[name].append(self._run_slice(workload, running[name], shape))
            except machine.Failed as failed:
                self.skip(f"{workload.title}, {running[name].target.title}", str(failed))
                running.pop(name).close()
                slices.pop(name)

    def _run_slice(self, workload, running, shape):
        if workload.generator == "pgbench":
            return loads.run_pgbench(self.programs, running, workload, shape.seconds)
        if workload.overload and running.target.name == DIRECT:
            workload = dataclasses.replace(workload, clients=workload.pool_size, leakers=0, warm_up_s=0.3, seconds=2)
        return loads.run_load(self.programs, running, workload, workload.warm_up_s, workload.seconds or shape.seconds)

    def _run_idle(self, workload, running):
        found = {}
        for name, target in running.items():
            try:
                found[name] = {"steps": loads.run_idle(self.programs, target, workload.steps)}
            except machine.Failed as failed:
                self.skip(f"{workload.title}, {target.target.title}", str(failed))
        self.results[workload.name] = {"title": workload.title, "generator": "idle", "goal": _goal(workload),
                                       "targets": found}

    def _count_calls(self, workload, running):
        calls = {}
        for name, target in running.items():
            if not target.pid:
                continue
            machine.settle()
            try:
                calls[name] = loads.count_calls(self.programs, target, workload)
            except machine.Failed as failed:
                self.skip(f"{workload.title}, system calls of {target.target.title}", str(failed))
        return calls


class Result:
    """What a workload's slices come to."""

    def __init__(self, workload, slices, calls):
        self.workload = workload
        self.slices = slices
        self.calls = calls

    def summary(self):
        targets = {name: self._target(name, slices) for name, slices in self.slices.items() if slices}
        return {"title": self.workload.title, "generator": self.workload.generator, "unit": self.workload.unit,
                "overload": self.workload.overload, "clients": self.workload.clients, "goal": _goal(self.workload),
                "targets": targets}

    def _target(self, name, slices):
        found = {key: statistics.median(slice_[key] for slice_ in slices) for key in slices[0]
                 if isinstance(slices[0][key], (int, float)) and all(key in slice_ for slice_ in slices)}
        found["rate_to_direct"] = self._ratio(name, DIRECT, "rate")
        found["rate_to_pgbouncer"] = self._ratio(name, REFERENCE, "rate")
        found["cpu_to_pgbouncer"] = self._ratio(name, REFERENCE, "cpu_us")
        if name in self.calls:
            found["calls"] = sum(self.calls[name].values())
            found["calls_by_name"] = self.calls[name]
        found["rounds"] = slices
        return found

    def _ratio(self, name, other, key):
        """The median of what it was in each round."""
        pairs = zip(self.slices[name], self.slices.get(other, []))
        ratios = [mine[key] / theirs[key] for mine, theirs in pairs if mine.get(key) is not None and theirs.get(key)]
        return statistics.median(ratios) if ratios else None


def _goal(workload):
    return {key: value for key, value in dataclasses.asdict(workload.goal).items() if value is not None}
