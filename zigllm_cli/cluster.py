"""Work spread over a Ray cluster: units go out to workers, results come back in order.

A worker holds what its units need (a model, mapped once) and is an actor of Ray. One that is lost
is replaced, and its units are given out again; since a unit's result does not depend on who works
on it, nothing in the results shows that.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from socket import create_connection
from threading import get_ident
from typing import Any, Generic, TypeVar

from zigllm_cli.errors import UsageError, ZigllmError

Unit = TypeVar("Unit")
Result = TypeVar("Result")
Work = Callable[[Any], Any]

LOCAL = "local"
"""Instead of an address: a cluster of this machine alone, for as long as the work lasts."""

AHEAD = 2
"""Units that a worker has at a time, so that it never waits for the next one."""

MOST_LOSSES = 3
"""Workers that may be lost over one unit before it is given up."""


@dataclass(frozen=True)
class Cluster:
    """Where to work.

    Attributes:
        address: of a Ray cluster ("auto", "HOST:PORT", "ray://HOST:PORT") or "local".
        workers: how many; None for one per machine, two on a local cluster.
        threads: of each worker; None for as many as a machine's CPUs allow.
        notice: told what happens, in a sentence.
    """

    address: str
    workers: int | None = None
    threads: int | None = None
    notice: Callable[[str], None] = field(default=lambda text: None)


class _Worker:
    """What an actor runs."""

    def __init__(self, make: Callable[[int], Work], threads: int) -> None:
        self._error: ZigllmError | None = None
        try:
            self._work = make(threads)
        except ZigllmError as error:
            self._error = error  # an actor that fails to start could not say why

    def ready(self) -> None:
        if self._error is not None:
            raise self._error

    def work(self, unit: Any) -> Any:
        return self._work(unit)


@dataclass
class _Job(Generic[Unit]):
    number: int
    unit: Unit
    losses: int = 0


def spread(cluster: Cluster, make: Callable[[int], Work], units: Iterable[Unit]) -> Iterator[Any]:
    """The results of units, in their order.

    Args:
        cluster: where.
        make: called on each worker with its number of threads; returns what turns a unit into a
            result. It, the units and the results are pickled.
        units: read as they are needed.

    Raises:
        UsageError: Ray is not installed, or there is no cluster at the address.
        ZigllmError: whatever a worker raised, or a unit that workers die of.
    """
    ray = _ray()
    with redirect_stdout(_OwnOutput()):
        machines = _connect(ray, cluster)
        count = cluster.workers or (2 if cluster.address == LOCAL else len(machines))
        neighbours = -(-count // len(machines))
        threads = cluster.threads or max(int(min(machines)) // neighbours, 1)
        try:
            yield from _Spread(ray, cluster, make, threads, count).results(units)
        finally:
            ray.shutdown()


class _OwnOutput:
    """stdout for this thread alone: what Ray's threads say of lost workers goes to stderr."""

    def __init__(self) -> None:
        self._stdout, self._thread = sys.stdout, get_ident()

    def write(self, text: str) -> int:
        """To stdout from the thread that made this, to stderr from any other."""
        stream = self._stdout if get_ident() == self._thread else sys.stderr
        return stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stdout, name)


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise UsageError(
            "--ray needs the package ray; install it with pip install 'zigllm-cli[ray]'"
        ) from None
    return ray


def _connect(ray: Any, cluster: Cluster) -> list[float]:
    """The CPUs of each machine."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if cluster.address == LOCAL:
        from os import cpu_count

        wanted = (cluster.workers or 2) * (cluster.threads or 1)
        options |= {"num_cpus": max(wanted, cpu_count() or 1), "include_dashboard": False}
    else:
        options["address"] = cluster.address
    try:
        _knock(cluster.address)
        ray.init(**options)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"no Ray cluster at {cluster.address!r}: {reason}") from None
    return [
        node["Resources"]["CPU"]
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU")
    ]


def _knock(address: str) -> None:
    """Whether anything listens there: Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        create_connection((host, int(port)), timeout=10).close()


class _Spread:
    """The workers of one run and what they have."""

    def __init__(
        self, ray: Any, cluster: Cluster, make: Callable[[int], Work], threads: int, count: int
    ) -> None:
        self._ray, self._cluster = ray, cluster
        self._actor = ray.remote(num_cpus=threads, max_restarts=0)(_Worker)
        self._make = ray.put(make)
        self._threads, self._count = threads, count
        self._calls: dict[Any, tuple[Any, _Job[Any] | None]] = {}
        self._ready: list[Any] = []
        self._again: deque[_Job[Any]] = deque()
        self._given, self._failed_starts = 0, 0

    def results(self, units: Iterable[Unit]) -> Iterator[Any]:
        """Give units out and results back, until there are no more."""
        source = (_Job(number, unit) for number, unit in enumerate(units))
        finished: dict[int, Any] = {}
        following = 0
        for _ in range(self._count):
            self._hire()
        while True:
            while following in finished:
                yield finished.pop(following)
                following += 1
            self._give_out(source, most=following + 2 * AHEAD * self._count)
            if self._given == following and self._ready:
                return
            for ref in self._ray.wait(list(self._calls), num_returns=1)[0]:
                self._take(ref, finished)

    def _hire(self) -> None:
        actor = self._actor.remote(self._make, self._threads)
        self._calls[actor.ready.remote()] = actor, None

    def _give_out(self, source: Iterator[_Job[Any]], most: int) -> None:
        """Fill the workers up, lost units first.

        Args:
            source: units that were never given out.
            most: the first that must wait, so that nobody works far ahead of the slowest.
        """
        for actor in self._ready * AHEAD:
            if len(self._jobs(actor)) >= AHEAD:
                continue
            job = self._again.popleft() if self._again else None
            if job is None and self._given < most:
                job = next(source, None)
                self._given += job is not None
            if job is None:
                return
            self._calls[actor.work.remote(job.unit)] = actor, job

    def _jobs(self, actor: Any) -> list[_Job[Any]]:
        return [job for other, job in self._calls.values() if other is actor and job]

    def _take(self, ref: Any, finished: dict[int, Any]) -> None:
        """The end of a call: a result, a worker that is ready, or one that is lost."""
        actor, job = self._calls.pop(ref)
        try:
            value = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, ZigllmError):
                raise cause from None
            raise ZigllmError(f"a worker failed: {cause!r}") from None
        except self._ray.exceptions.RayError as error:
            self._lose(actor, job, error)
            return
        if job is None:
            self._ready.append(actor)
        else:
            finished[job.number] = value

    def _lose(self, actor: Any, job: _Job[Any] | None, error: Exception) -> None:
        """Give a lost worker's units out again, and hire another one."""
        jobs = sorted([*([job] if job else []), *self._jobs(actor)], key=lambda job: job.number)
        self._calls = {ref: call for ref, call in self._calls.items() if call[0] is not actor}
        self._ready = [other for other in self._ready if other is not actor]
        self._failed_starts += not jobs
        for lost in jobs:
            lost.losses += 1
        worst = max((lost.losses for lost in jobs), default=self._failed_starts)
        if worst > MOST_LOSSES:
            reason = str(error).splitlines()[0]
            raise ZigllmError(f"{worst} workers were lost one after the other: {reason}")
        self._cluster.notice(f"a worker was lost; its {len(jobs)} units are given to others")
        self._again.extend(jobs)
        self._hire()
