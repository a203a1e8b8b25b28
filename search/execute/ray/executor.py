"""The executor of `--executor ray`, as the driver sees it."""

import multiprocessing
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol

from records.text import plural
from search.errors import SearchError
from search.execute import worker
from search.execute.job import Job
from search.execute.local import deaf_to_ctrl_c
from search.execute.paths import absolute
from search.execute.protocol import Event, Place
from search.execute.ray import bridge
from search.execute.ray.before import check
from search.execute.ray.messages import (
    BridgeRequest,
    Command,
    Connected,
    FromWorker,
    Gone,
    Lost,
    Open,
    Ready,
    Renew,
    Report,
    Send,
)
from search.execute.slots import Slot, Watchdog
from search.execute.worker import Share, Work

CONNECTING = 60.0
"""Seconds for Ray to connect: 2 on an idle machine, up to 35 on a busy one. It would try for minutes."""
WAITING = 60.0
"""Seconds without any slot that has its CPUs."""
PLACING = 300.0
"""Seconds without any slot that works while some have their CPUs: processes start, packages travel."""
LEAVING = 10.0
"""Seconds for the bridge to end its actors; Ray ends them itself when it is gone."""


class Process(Protocol):
    """What the driver does with the process of the bridge."""

    def kill(self) -> None:
        """End it at once."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""


class Start(Protocol):
    """Starts a bridge."""

    def __call__(self, request: BridgeRequest) -> tuple[Process, "Connection[Command, Report]"]:
        """Return its process and the driver's end of the pipe to it."""


def start_bridge(request: BridgeRequest) -> tuple[Process, "Connection[Command, Report]"]:
    """Start the process that imports Ray."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=bridge.serve, args=(theirs, request), name="search-ray", daemon=True)
    with deaf_to_ctrl_c():
        process.start()
    theirs.close()
    return process, ours


@dataclass(eq=False, kw_only=True)
class _Remote(Slot):
    number: int
    placed: bool = False
    """Whether it has its CPUs."""
    ready: bool = False


class RayCluster:
    """An executor of at most `jobs` actors on a Ray cluster, each with a worker process.

    A slot counts once its actor works: those that wait for a CPU join later, and those that died leave until
    Ray has started another one.

    Args:
        jobs: How many train at the same time, at most.
        device: "cpu", "cuda" or "mps"; of the nodes.
        work: What a worker does with a job.
        place: The cluster, and what each job gets there.
        silence: Seconds without a sign of life after which an actor, or all of Ray, is given up;
            `slots.SILENCE` by default.
        exact: Whether `jobs` stay as they are where the cluster has room for fewer, the others to wait.
        start: Starts the bridge.

    Raises:
        SearchError: Ray is not installed, does not answer, or has no CPU to spare; one line.
    """

    def __init__(
        self,
        jobs: int,
        device: str,
        work: Work = worker.run,
        place: Place = Place(),  # noqa: B008 (frozen)
        silence: float | None = None,
        exact: bool = True,
        start: Start = start_bridge,
    ) -> None:
        self._place, self._watchdog = place, Watchdog(silence)
        self._remotes: list[_Remote] = []
        self._waiting: list[Job] = []
        self._quiet = self._without = 0.0
        self._connected: Connected | None = None
        self._begun = False
        if start is start_bridge:
            check(place.address)
        share = Share(device, 1, place.cpus, min(1.0, place.gpus) or 1.0)
        request = BridgeRequest(
            place.address, place.cpus, place.gpus, share, work, self._watchdog.limit, place.paths
        )
        self._process, self._connection = start(request)
        try:
            self.jobs = self._connect(jobs, exact)
        except BaseException:
            self.close()
            raise

    @property
    def free(self) -> int:
        """How many more jobs can be submitted now."""
        idle = sum(each.ready and each.job is None for each in self._remotes)
        return max(0, idle - len(self._waiting))

    @property
    def found(self) -> Connected:
        """What the cluster has."""
        assert self._connected is not None
        return self._connected

    def submit(self, job: Job) -> None:
        """Hand `job` to an idle slot or the next one: one that failed may come back before its slot does."""
        self._waiting.append(job)
        self._hand_out()

    def wait(self, timeout: float) -> Sequence[Event]:
        """Return what the slots report; one that died or fell silent is a failed job, and is replaced.

        Raises:
            SearchError: The cluster is lost.
        """
        events: list[Event] = []
        try:
            if self._connection.poll(timeout):
                while True:
                    events += self._take(self._connection.recv())
                    if not self._connection.poll():
                        break
        except (EOFError, OSError) as error:
            raise self._lost("the connection to it broke") from error
        passed = self._watchdog.passed(timeout)
        for silent, reason in list(self._watchdog.given_up(self._remotes, passed)):
            events.append(silent.failed(reason))
            self._gone(silent)
            self._send(Renew(silent.number))
        self._judge(passed)
        self._hand_out()
        return events

    def answer(self, job: Job, *, go_on: bool) -> None:
        """Send the driver's answer; an actor that died meanwhile is met in `wait`."""
        for each in self._remotes:
            if each.job == job:
                self._send(Send(each.number, go_on))

    def close(self) -> None:
        """End the actors: whatever they were training is trained again on resume."""
        self._connection.close()
        self._process.join(LEAVING)
        self._process.kill()
        self._process.join()

    def _connect(self, jobs: int, exact: bool) -> int:
        """Wait for the cluster, open the slots, and wait for the first one; return how many there are."""
        began = time.monotonic()
        while self._connected is None:
            if time.monotonic() - began > CONNECTING:
                raise SearchError(
                    f"--ray-address {self._place.address}: Ray does not answer there for {CONNECTING:g} s; "
                    "see `ray status` on the cluster, or correct the address"
                )
            self.wait(0.5)
        jobs = jobs if exact else max(1, min(jobs, self.found.room))
        for number in range(jobs):
            self._remotes.append(_Remote(number=number))
            self._send(Open(number))
        self._quiet = self._without = 0.0
        while not any(each.ready for each in self._remotes):
            self.wait(0.5)
        self._begun = True
        return jobs

    def _take(self, report: Report) -> list[Event]:
        """Note what the bridge reports; return the events among it."""
        self._quiet = 0.0
        if isinstance(report, Lost):
            raise self._lost(report.reason)
        if isinstance(report, Connected):
            self._connected = report
        if report is None or isinstance(report, Connected):
            return []
        remote = self._remotes[report.slot]
        if isinstance(report, FromWorker):
            event = remote.heard(report.message)
            return [] if event is None else [event]
        if isinstance(report, Gone):
            events: list[Event] = [] if remote.job is None else [remote.failed(report.reason)]
            self._gone(remote)
            return events
        remote.placed = True
        remote.ready = remote.greeted = isinstance(report, Ready)
        return []

    def _gone(self, remote: _Remote) -> None:
        remote.placed = remote.ready = remote.greeted = False

    def _judge(self, passed: float) -> None:
        """Give the cluster up where it is silent, or without a slot that works for too long."""
        self._quiet += passed
        if self._connected is None:
            return
        if self._quiet >= self._watchdog.limit:
            raise self._lost(f"it has not answered for {self._watchdog.limit:g} s")
        if any(each.ready for each in self._remotes):
            self._without = 0.0
            return
        self._without += passed
        if self._without >= PLACING:
            raise self._lost(f"its nodes have not started a worker for {PLACING:g} s")
        if self._without >= WAITING and not any(each.placed for each in self._remotes):
            needs = plural(self._place.cpus, "free CPU")
            needs += f" and {self._place.gpus:g} GPUs" if self._place.gpus else ""
            found = self.found
            raise SearchError(
                f"no node of the Ray cluster at {self._place.address} has had {needs} for {WAITING:g} s "
                f"({plural(found.nodes, 'node')}, {found.cpus:g} CPUs, {found.gpus:g} GPUs in all); "
                "wait for other jobs, or lower --cpus-per-job or --gpus-per-job"
            )

    def _hand_out(self) -> None:
        for each in self._remotes:
            if self._waiting and each.ready and each.job is None:
                job = self._waiting.pop(0)
                each.begin(job)
                self._send(Send(each.number, absolute(job)))

    def _send(self, command: Command) -> None:
        with suppress(OSError):  # a bridge that has just died is met in `wait`
            self._connection.send(command)

    def _lost(self, reason: str) -> SearchError:
        where = f"--ray-address {self._place.address}"
        if not self._begun:
            if "mismatch" in reason:
                reason += "; install the cluster's versions here, or these there"
            return SearchError(f"{where}: {reason}")
        return SearchError(
            f"the Ray cluster at {self._place.address} is lost: {reason}; once it is well, --resume continues"
        )
