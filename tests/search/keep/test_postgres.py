"""The study in a real PostgreSQL server, which this test starts for itself on a free port."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from search.__main__ import main
from search.errors import SearchError
from search.keep import storage

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
    with storage.held(server.url(), "one") as look:
        look()
        with (
            pytest.raises(SearchError, match="another process is driving the study 'one'"),
            storage.held(server.url(), "one"),
        ):
            pass
        with storage.held(server.url(), "two"):
            pass
    with storage.held(server.url(), "one"):
        pass


def test_a_server_that_goes_away_ends_the_hold_with_one_line(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "LOOK_EVERY", 0.0)
    with storage.held(server.url(), "one") as look:
        look()
        server.stop()
        try:
            with pytest.raises(SearchError, match="the connection to the database was lost") as error:
                look()
            assert "\n" not in str(error.value)
        finally:
            server.start()
    with storage.held(server.url(), "one"):
        pass
