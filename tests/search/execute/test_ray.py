"""The executor of a Ray cluster with a bridge that plays a script: no Ray, no processes."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import pytest

from records.run import EpochRecord
from search.errors import SearchError
from search.execute.job import DataRequest, Job, Outcome
from search.execute.protocol import EpochDone, Event, JobDone, Notice, Place
from search.execute.ray import before, executor
from search.execute.ray.actor import Greeting
from search.execute.ray.before import check
from search.execute.ray.executor import RayCluster
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
from tests.search.execute.works import played

JOB = Job(4, 1, {}, {"epochs": 3}, 7, DataRequest("shapes", "/nowhere", None, None, 0))
EPOCH = EpochRecord(1, 1.0, 0.5, 1.0, 0.5, 0.1, 1.0)
HERE = Greeting("here", "2.15")
FOUND = Connected(nodes=2, cpus=4.0, gpus=0.0, room=2)


class Script:
    """A bridge that reports what the test says; `able` slots work as soon as they are opened."""

    def __init__(self) -> None:
        self.able: set[int] = {0, 1}
        self.first: Report = FOUND
        self.commands: list[Command] = []
        self.request: BridgeRequest | None = None
        self.killed = False
        self._arrived = threading.Condition()

    def start(self, request: BridgeRequest) -> Any:
        self.request = request
        ours, self._theirs = Pipe()
        threading.Thread(target=self._listen, args=(self._theirs,), daemon=True).start()
        self.say(self.first)
        return self, ours

    def say(self, *reports: Report) -> None:
        for report in reports:
            self._theirs.send(report)

    def works(self, slot: int) -> None:
        self.say(Placed(slot), Ready(slot, HERE))

    def hang_up(self) -> None:
        # Closing it is not enough while the thread listens there.
        with socket.socket(fileno=os.dup(self._theirs.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)

    def sent(self, count: int) -> list[Command]:
        """Return the commands but for `Open`, once there are so many."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self._others()) >= count, 30.0)
            return self._others()

    def _others(self) -> list[Command]:
        return [command for command in self.commands if not isinstance(command, Open)]

    def kill(self) -> None:
        self.killed = True

    def join(self, timeout: float | None = None) -> None:
        pass

    def _listen(self, theirs: "Connection[Report, Command]") -> None:
        # Until the driver's end is closed, which may be between its command and the answer.
        with suppress(EOFError, OSError):
            while True:
                command = theirs.recv()
                with self._arrived:
                    self.commands.append(command)
                    self._arrived.notify_all()
                if isinstance(command, Open) and command.slot in self.able:
                    theirs.send(Placed(command.slot))
                    theirs.send(Ready(command.slot, HERE))


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()
    yield script
    script.hang_up()


def _cluster(script: Script, jobs: int = 2, **settings: Any) -> RayCluster:
    return RayCluster(jobs, "cpu", played, Place("h:1", cpus=2), start=script.start, **settings)


def _events(cluster: RayCluster, count: int = 1) -> list[Event]:
    found: list[Event] = []
    for _ in range(100):
        found += cluster.wait(0.3)
        if len(found) >= count:
            return found
    raise TimeoutError(f"got {found}")


def _until_free(cluster: RayCluster, slots: int) -> None:
    for _ in range(100):
        if cluster.free == slots:
            return
        assert not cluster.wait(0.1)
    raise TimeoutError(f"{cluster.free} are free")


def test_a_job_is_handed_to_a_slot_and_its_messages_are_events(script: Script) -> None:
    cluster = _cluster(script, 1)
    assert cluster.free == 1
    cluster.submit(JOB)
    assert cluster.free == 0
    assert script.sent(1) == [Send(0, JOB)]
    script.say(FromWorker(0, "a notice"), FromWorker(0, None), FromWorker(0, EPOCH))
    assert _events(cluster, 2) == [Notice(JOB, "a notice"), EpochDone(JOB, EPOCH)]
    cluster.answer(JOB, go_on=True)
    assert script.sent(2)[1] == Send(0, True)
    outcome = Outcome(4, 1, "complete", 1.0, (EPOCH,))
    script.say(FromWorker(0, outcome))
    assert _events(cluster) == [JobDone(JOB, outcome)]
    assert cluster.free == 1


def test_the_worker_gets_its_share_of_a_node_and_not_of_this_machine(script: Script) -> None:
    RayCluster(2, "cuda", played, Place("h:1", cpus=3, gpus=0.25, paths=("/x",)), start=script.start)
    assert script.request is not None
    share = script.request.share
    assert (share.device, share.threads, share.memory / share.jobs) == ("cuda", 3, 0.25)
    assert (script.request.cpus, script.request.gpus, script.request.paths) == (3, 0.25, ("/x",))


def test_a_slot_that_waits_for_its_cpus_joins_when_it_has_them(script: Script) -> None:
    script.able = {1}
    cluster = _cluster(script)
    assert cluster.free == 1
    script.works(0)
    _until_free(cluster, 2)


def test_without_a_number_of_jobs_the_room_of_the_cluster_decides(script: Script) -> None:
    assert _cluster(script, 8, exact=False).jobs == 2
    script.first = replace(FOUND, room=0)  # an autoscaler may bring the first node yet
    assert _cluster(script, 8, exact=False).jobs == 1


def test_a_dead_actor_is_a_failed_job_and_its_second_chance_waits_for_a_slot(script: Script) -> None:
    cluster = _cluster(script, 1)
    cluster.submit(JOB)
    script.say(Gone(0, "the worker's actor died"))
    (event,) = _events(cluster)
    assert isinstance(event, JobDone)
    assert (event.outcome.state, event.outcome.reason) == ("failed", "the worker's actor died")
    again = replace(JOB, attempt=2)
    cluster.submit(again)  # at once, as `Attempts` does
    assert cluster.free == 0
    assert cluster.wait(0.1) == []
    assert script.sent(1) == [Send(0, JOB)]
    script.works(0)
    cluster.wait(1.0)
    cluster.wait(1.0)
    assert script.sent(2)[1] == Send(0, again)


def test_a_silent_actor_is_given_up_and_replaced(script: Script) -> None:
    cluster = _cluster(script, 1, silence=0.5)
    cluster.submit(JOB)
    script.say(FromWorker(0, None))
    for _ in range(100):
        script.say(None)  # the bridge lives
        if events := cluster.wait(0.1):
            break
        time.sleep(0.05)
    (event,) = events
    assert isinstance(event, JobDone)
    assert event.outcome.reason == "the worker has been silent for 0.5 s"
    assert script.sent(2) == [Send(0, JOB), Renew(0)]
    assert cluster.free == 0


def test_the_end_of_the_bridge_is_one_line_that_names_the_way_on(script: Script) -> None:
    cluster = _cluster(script)
    script.hang_up()
    with pytest.raises(SearchError, match=r"the Ray cluster at h:1 is lost: .*--resume continues"):
        _events(cluster)


def test_a_silent_bridge_is_the_loss_of_the_cluster(script: Script) -> None:
    cluster = _cluster(script, silence=0.4)
    with pytest.raises(SearchError, match=r"is lost: it has not answered for 0\.4 s"):
        _events(cluster)


def test_a_cluster_without_a_free_cpu_is_refused_with_what_it_has(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "WAITING", 0.4)
    script.able = set()
    with pytest.raises(SearchError) as caught:
        _cluster(script)
    assert str(caught.value) == (
        "no node of the Ray cluster at h:1 has had 2 free CPUs for 0.4 s (2 nodes, 4 CPUs, 0 GPUs in all); "
        "wait for other jobs, or lower --cpus-per-job or --gpus-per-job"
    )
    assert script.killed


def test_a_worker_that_only_starts_slowly_is_waited_for(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "WAITING", 0.2)
    script.able = set()
    threading.Timer(0.1, lambda: script.say(Placed(0))).start()
    threading.Timer(1.0, lambda: script.works(0)).start()
    assert _cluster(script, 1).free == 1


def test_an_address_that_takes_connections_and_is_no_ray_is_given_up(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "CONNECTING", 0.3)
    script.first = None
    with pytest.raises(SearchError, match=r"--ray-address h:1: Ray does not answer there for 0\.3 s"):
        _cluster(script)


def test_another_version_of_ray_is_one_line_with_both(script: Script) -> None:
    script.first = Lost("Version mismatch: The cluster was started with: Ray: 2.9.0 Python: 3.11.7 ...")
    with pytest.raises(SearchError, match=r"--ray-address h:1: Version mismatch: .* Ray: 2\.9\.0 .*install"):
        _cluster(script)


def test_a_node_that_cannot_train_is_refused_before_anything_is_trained(script: Script) -> None:
    script.able = set()
    threading.Timer(0.1, lambda: script.say(Placed(0), Lost("node a lacks torch"))).start()
    with pytest.raises(SearchError, match="--ray-address h:1: node a lacks torch"):
        _cluster(script)


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    pytest.importorskip("ray")
    with pytest.raises(SearchError) as caught:
        check(f"127.0.0.1:{port}")
    assert f"--ray-address 127.0.0.1:{port}: nothing answers there (Connection refused)" in str(caught.value)


def test_without_ray_the_line_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before, "find_spec", lambda name: None)
    with pytest.raises(SearchError, match=r"Ray is not installed here; pip install -e '\.\[ray\]'"):
        check("h:1")
