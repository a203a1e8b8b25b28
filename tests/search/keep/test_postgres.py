"""The study in a real PostgreSQL server, which this test starts for itself on a free port."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from rich.console import Console

from search.__main__ import main
from search.errors import SearchError
from search.execute.job import Job
from search.keep import storage, study_lock
from search.keep import study as studies
from search.keep.folder import RunFolder
from search.keep.retry import DatabaseRetry
from search.propose.gate import Admission
from search.propose.sampler import GatedSampler
from search.propose.space import WidthSpace
from search.session.trainings import Trainings
from search.session.trials import Driver
from search.settings import Settings
from search.show.display import Display

PASSWORD = "s3cret/of@ours"
QUOTED = "s3cret%2Fof%40ours"
SMALL = ["--trials", "3", "--epochs", "1", "--subset", "130", "--finalists", "1", "--final-epochs", "1"]
SMALL += ["--final-subset", "130", "--winner-epochs", "1", "--device", "cpu"]


@dataclass
class Server:
    """A server in a folder of its own."""

    bin: Path
    folder: Path
    port: int
    as_user: list[str]

    def url(self, password: str = QUOTED) -> str:
        return f"postgresql://search:{password}@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *flags: str) -> None:
        command = [*self.as_user, str(self.bin / program), "-D", str(self.folder / "data"), *flags]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder)

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = str(self.folder / "log")
        # Without a log file of its own the server would hold the pipes of this process open.
        command = [*self.as_user, str(self.bin / "pg_ctl"), "-D", str(self.folder / "data"), "-w", "-l", log]
        subprocess.run(
            [*command, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, cwd=self.folder
        )

    def stop(self) -> None:
        self.run("pg_ctl", "-m", "immediate", "stop")


def _programs() -> Path | None:
    """Return the newest server's programs: Debian keeps them off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    return Path(path).parent if (path := shutil.which("initdb")) else None


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    pytest.importorskip("psycopg", reason="the Python driver of PostgreSQL (psycopg) is not installed")
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    as_user: list[str] = []
    if os.getuid() == 0:  # the server refuses to run as root
        as_user = ["runuser", "-u", "postgres", "--"]
        if shutil.which("runuser") is None:
            pytest.skip("PostgreSQL refuses to run as root, and there is no runuser")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # pytest's own folder is closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        password = folder / "password"
        password.write_text(PASSWORD)
        if as_user:
            shutil.chown(folder, "postgres")
            shutil.chown(password, "postgres")
        server = Server(programs, folder, port, as_user)
        flags = ["--auth=scram-sha-256", "-U", "search", f"--pwfile={password}", "--no-sync", "--locale=C"]
        server.run("initdb", *flags)
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.mark.slow
def test_a_whole_search_runs_against_the_server_and_leaves_the_password_nowhere(
    server: Server, image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    flags = ["--data", str(image_folder), "--cache", str(tmp_path / "cache"), "--out", str(out)]
    assert main([*flags, "--name", "pg", "--storage", server.url(), *SMALL]) == 0
    folder = out / "pg"
    record = json.loads((folder / "search.json").read_text())
    assert record["trials"]["complete"] + record["trials"]["pruned"] == 3
    assert not (folder / "study.db").exists()
    backend = storage.reach(server.url())
    trials = backend.get_all_trials(backend.get_study_id_from_name("pg"))
    storage.release(backend)
    assert [trial.state.is_finished() for trial in trials] == [True] * 3
    said = capsys.readouterr()
    for text in (said.out, said.err, *(path.read_text(errors="replace") for path in folder.rglob("*.*"))):
        assert PASSWORD not in text
        assert QUOTED not in text

    assert main([*flags, "--name", "pg", "--resume"]) == 2
    assert "--storage: give the URL again, its password is not kept" in capsys.readouterr().err
    assert main([*flags, "--name", "pg", "--resume", "--storage", server.url()]) == 0

    # The same name in another folder is the same study, whose trials are not there.
    flags[-1] = str(tmp_path / "elsewhere")
    assert main([*flags, "--name", "pg", "--storage", server.url(), *SMALL]) == 2
    assert "a study 'pg' of 3 trials already, which belongs to" in capsys.readouterr().err


def test_a_wrong_password_is_one_line_without_any_password(
    server: Server, image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    flags = ["--data", str(image_folder), "--cache", str(tmp_path / "cache"), "--out", str(out)]
    assert main([*flags, "--storage", server.url("guessed"), *SMALL]) == 2
    error = capsys.readouterr().err
    assert error.startswith("search: error: --storage: the study cannot be opened (")
    assert "password authentication failed" in error
    assert error.count("\n") == 1
    assert "guessed" not in error
    assert not out.exists()


def test_a_server_that_cannot_be_reached_is_one_line() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql://search:{QUOTED}@127.0.0.1:{unused.getsockname()[1]}/postgres"
        with pytest.raises(SearchError, match=r"cannot be opened \(.*[Cc]onnection refused") as error:
            storage.reach(url)
    assert "s3cret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_study_has_one_driver_and_a_dead_one_lets_go(server: Server) -> None:
    with study_lock.held(server.url(), "one") as hold:
        hold.look()
        with (
            pytest.raises(SearchError, match="another process is driving the study 'one'"),
            study_lock.held(server.url(), "one"),
        ):
            pass
        with study_lock.held(server.url(), "two"):
            pass
    with study_lock.held(server.url(), "one"):
        pass


def test_a_server_that_restarts_is_waited_for_and_the_study_is_held_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_lock, "LOOK_EVERY", 0.0)
    said: list[str] = []
    with study_lock.held(server.url(), "one") as hold:
        retry = DatabaseRetry(server.url(), 60.0, said.append, hold.regain)
        retry(hold.look)
        assert said == []
        back = _away(server, 3.0)
        try:
            retry(hold.look)
        finally:
            back.join()
        assert len(said) == 2
        assert said[0].startswith("the study's database does not answer (")
        assert said[1] == "the study's database answers again"
        assert QUOTED not in said[0]
        with (
            pytest.raises(SearchError, match="another process is driving"),
            study_lock.held(server.url(), "one"),
        ):
            pass


def test_a_study_that_another_driver_took_meanwhile_is_left_to_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_lock, "LOOK_EVERY", 0.0)
    with study_lock.held(server.url(), "one") as hold:
        server.stop()
        server.start()
        with (
            study_lock.held(server.url(), "one"),
            pytest.raises(SearchError, match="another process is driving the study 'one'"),
        ):
            DatabaseRetry(server.url(), 2.0, lambda text: None, hold.regain)(hold.look)


def test_a_server_that_stays_away_is_one_line(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_lock, "LOOK_EVERY", 0.0)
    with study_lock.held(server.url(), "one") as hold:
        server.stop()
        try:
            began = time.monotonic()
            with (
                pytest.raises(SearchError, match=r"^the study failed \(.*\)$") as error,
                storage.failures(server.url(), "the study failed"),
            ):
                DatabaseRetry(server.url(), 2.0, lambda text: None, hold.regain)(hold.look)
            assert time.monotonic() - began >= 2.0
            assert "\n" not in str(error.value)
            assert QUOTED not in str(error.value)
        finally:
            server.start()


def test_a_search_outlives_a_server_that_is_away_for_some_seconds(
    server: Server, tmp_path: Path, settings: Settings, small_space: WidthSpace, fake_executor: Any
) -> None:
    """Trials are asked for, weighed and told while the server stops and starts again, again and again."""
    folder, said = RunFolder(tmp_path), list[str]()
    sampler = GatedSampler(small_space, lambda values: True, settings.seed)
    url, name = server.url(), "restarts"
    moments = iter(range(1_000))

    def curve(job: Job) -> list[float]:
        if next(moments) in (2, 5, 11):  # while a trial runs: the next thing that is asked meets no server
            backs.append(_away(server, 2.0))
        return [0.1, 0.2, 0.3 + job.number / 100]

    backs: list[threading.Thread] = []
    backend = storage.reach(url)
    with study_lock.held(url, name) as hold:
        study = studies.open_study(name, backend, sampler, settings)
        retry = DatabaseRetry(url, 60.0, said.append, hold.regain)
        trainings = Trainings(settings, fake_executor(curve), Display(Console(quiet=True)))
        gate: Any = OpenGate()
        driver = Driver(trainings, folder, small_space, gate, study, lambda records: None, retry=retry)
        driver.run_trials()
        for back in backs:
            back.join()
        trials = study.get_trials()
    storage.release(backend)
    assert len(backs) == 3
    assert said.count("the study's database answers again") >= 1
    records = folder.trials()
    assert [record.state for record in records] == ["complete"] * settings.trials
    assert len({tuple(record.values.items()) for record in records}) == settings.trials
    told = {trial.number: trial.value for trial in trials if trial.state == TrialState.COMPLETE}
    assert told == {record.number: pytest.approx(record.score) for record in records}
    assert not [trial for trial in trials if not trial.state.is_finished()]


class OpenGate:
    """Admits everything."""

    def admission(self, spec: object) -> Admission:
        return Admission(90_000, 1_000, 60, {"max_params": -9_999.0}, ())


def _away(server: Server, seconds: float) -> threading.Thread:
    """Stop the server now, and start it again after some seconds."""
    server.stop()

    def start() -> None:
        time.sleep(seconds)
        server.start()

    thread = threading.Thread(target=start)
    thread.start()
    return thread
