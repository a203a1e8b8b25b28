"""The process between the driver and Ray, the only one that imports it.

Ray's own failures are not all exceptions: without its head a connected process hangs for minutes or is
aborted. The driver takes silence or the end of this process for the loss of the cluster.
"""

import os
import queue
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from records.errors import one_line
from search.execute.ray.actor import Greeting, WorkerActor
from search.execute.ray.messages import (
    BridgeRequest,
    Command,
    Connected,
    FromWorker,
    Gone,
    Lost,
    Open,
    Placed,
    Ready,
    Renew,
    Report,
    Send,
)
from search.execute.ray.shipped import stage
from search.execute.worker import BEAT, begin, watch_parent

THREADS = 4
"""Calls that an actor answers at the same time: it listens, sends, and greets."""


class BrokenError(Exception):
    """No slot of the cluster can work; the text is one line."""


def serve(connection: "Connection[Report, Command]", request: BridgeRequest) -> None:
    """Connect to Ray and carry messages until the driver closes `connection`."""
    begin()
    watch_parent()
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # Ray writes there, from C++ too; the screen is the driver's
        os.dup2(null, stream)
    try:
        cluster = _Cluster(request)
    except BaseException as error:  # ray.init leaves by SystemExit, too
        with suppress(OSError):
            connection.send(Lost(_text(error)))
        return
    try:
        _carry(connection, cluster)
    except BrokenError as error:
        with suppress(OSError):
            connection.send(Lost(str(error)))
    except (EOFError, OSError):  # the driver closed its end
        pass
    except Exception as error:
        with suppress(OSError):
            connection.send(Lost(_text(error)))
    finally:
        cluster.close()


def _carry(connection: "Connection[Report, Command]", cluster: "_Cluster") -> None:
    connection.send(cluster.found())
    commands: queue.SimpleQueue[Open | Renew | None] = queue.SimpleQueue()

    def obey() -> None:
        # In a thread of its own: an answer does not wait for what the main thread listens to.
        with suppress(EOFError, OSError):
            while True:
                command = connection.recv()
                if isinstance(command, Send):
                    cluster.send(command)
                else:
                    commands.put(command)
        commands.put(None)

    threading.Thread(target=obey, daemon=True).start()
    while True:
        while not commands.empty():
            if (command := commands.get()) is None:
                return
            cluster.obey(command)
        for report in cluster.hear():
            connection.send(report)
        connection.send(None)


@dataclass(eq=False)
class _Slot:
    number: int
    group: Any
    """The placement group that holds its CPUs, also while one actor takes the place of another."""
    actor: Any = None
    waits_for: Any = None
    """What the actor has been asked and not answered yet."""
    ready: bool = False


class _Cluster:
    """The slots of one search, as Ray knows them."""

    def __init__(self, request: BridgeRequest) -> None:
        import ray

        self._ray, self._asked = ray, request
        with tempfile.TemporaryDirectory(prefix="rfcalc-ray-") as folder:
            stage(request.work, Path(folder))
            ray.init(
                address=request.address,
                runtime_env={"working_dir": folder},  # is sent now
                log_to_driver=False,
                logging_level="ERROR",
            )
        self._slots: dict[int, _Slot] = {}
        self._looked = 0.0
        self._home = ray.get_runtime_context().get_node_id()

    def found(self) -> Connected:
        """Return what the cluster has."""
        alive = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        request = self._asked
        room = 0
        for each in alive:
            fits = int(each.get("CPU", 0) // request.cpus)
            room += min(fits, int(each.get("GPU", 0) / request.gpus)) if request.gpus else fits
        total = {name: sum(each.get(name, 0.0) for each in alive) for name in ("CPU", "GPU")}
        return Connected(len(alive), total["CPU"], total["GPU"], room)

    def send(self, command: Send) -> None:
        """Hand a message to a worker; where its actor is dead, `hear` meets that."""
        slot = self._slots.get(command.slot)
        if slot is not None and slot.actor is not None:
            slot.actor.send.remote(command.message)

    def obey(self, command: Open | Renew) -> None:
        """Make a slot, or another actor for it."""
        if isinstance(command, Open):
            from ray.util.placement_group import placement_group

            needs = {"CPU": self._asked.cpus} | ({"GPU": self._asked.gpus} if self._asked.gpus else {})
            self._slots[command.slot] = _Slot(command.slot, placement_group([needs]))
        else:
            self._end(self._slots[command.slot])

    def hear(self) -> list[Report]:
        """Return what the slots report, after at most `BEAT` seconds."""
        reports = list(self._placed())
        waiting = {slot.waits_for: slot for slot in self._slots.values() if slot.waits_for is not None}
        if not waiting:
            time.sleep(BEAT / 4)
            return reports
        answered, _ = self._ray.wait(list(waiting), num_returns=1, timeout=BEAT)
        for reference in answered:
            reports += self._answered(waiting[reference])
        return reports

    def close(self) -> None:
        """End the actors; without this Ray would end them itself once this process has gone."""
        from ray.util.placement_group import remove_placement_group

        with suppress(Exception):
            for slot in self._slots.values():
                self._end(slot)
                remove_placement_group(slot.group)
            self._ray.shutdown()

    def _placed(self) -> list[Report]:
        """Start an actor for each slot whose CPUs are free by now."""
        from ray.util.placement_group import placement_group_table
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        if time.monotonic() - self._looked < BEAT:
            return []
        self._looked, request, reports = time.monotonic(), self._asked, list[Report]()
        if not all(slot.ready for slot in self._slots.values()):
            self._check_home()
        for slot in self._slots.values():
            if slot.actor is not None or placement_group_table(slot.group)["state"] != "CREATED":
                continue
            options = {
                "num_cpus": request.cpus,
                "num_gpus": request.gpus,
                "max_concurrency": THREADS,
                "scheduling_strategy": PlacementGroupSchedulingStrategy(slot.group),
            }
            actor = self._ray.remote(WorkerActor).options(**options)
            slot.actor = actor.remote(request.share, request.work, request.silence)
            slot.waits_for = slot.actor.greet.remote(request.paths)
            reports.append(Placed(slot.number))
        return reports

    def _check_home(self) -> None:
        """Find out whether Ray still runs on this machine: without it no actor starts, and no error comes."""
        if not any(node["NodeID"] == self._home and node["Alive"] for node in self._ray.nodes()):
            raise BrokenError("Ray on the driver's own node (its raylet) has died")

    def _answered(self, slot: _Slot) -> list[Report]:
        exceptions = self._ray.exceptions
        try:
            value = self._ray.get(slot.waits_for)
        except (exceptions.RuntimeEnvSetupError, exceptions.RayTaskError) as error:
            raise BrokenError(_text(error)) from error
        except exceptions.RayError as error:
            if not slot.ready and "creation task" in str(error):  # it cannot even be imported there
                raise BrokenError(_text(error)) from error
            self._end(slot)
            return [Gone(slot.number, _manner(error))]
        reports: list[Report]
        if isinstance(value, Greeting):
            if value.problem is not None:
                raise BrokenError(value.problem)
            slot.ready, reports = True, [Ready(slot.number, value)]
        else:
            reports = [FromWorker(slot.number, message) for message in value or (None,)]
        slot.waits_for = slot.actor.hear.remote()
        return reports

    def _end(self, slot: _Slot) -> None:
        if slot.actor is not None:
            self._ray.kill(slot.actor)
        slot.actor, slot.waits_for, slot.ready = None, None, False


def _manner(error: Exception) -> str:
    """Return how an actor ended, in the words of the local executor."""
    if type(error).__name__ == "OutOfMemoryError":
        return "Ray ended the worker: out of memory on its node"
    if "its node has died" in str(error):
        return "the worker's node died"
    return "the worker's actor died (killed; out of memory?)"


def _text(error: BaseException) -> str:
    """Return an error of Ray, which may fill a screen, as one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "mismatch" in str(error):
        return one_line(" ".join(lines))
    # The last line of a remote traceback is the error itself.
    line = lines[-1] if lines and "Traceback" in str(error) else lines[0] if lines else ""
    if isinstance(error, SystemExit):
        return "it does not answer"
    return one_line(line[:300]) or type(error).__name__
