"""Kill searches at random moments, resume them, and count what was lost.

    python -m benchmarks.kill_search --kills 100 --seed 0
    python -m benchmarks.kill_search --kills 20 --seed 0 --executor ray

Real driver, real worker processes, real SQLite, real locks, real resume: the command's own `prepare` and
`session.run`. Only the training is played (some tens of milliseconds an epoch), so that most kills strike
where bookkeeping is done. Each kill is SIGKILL of a worker, of the driver, or of all, or SIGSTOP of a worker,
which the driver must outlive. A worker is stopped only after its first steps: before them it cannot have
asked the system to end it with its driver, and would stay. A trial is acknowledged when its record lay in the
folder before the kill. With `--executor ray` the trials run on a cluster of two nodes of processes, which are
killed too (`benchmarks/kill_search_ray.py`).

Exit code 0: nothing acknowledged was lost or changed, no trial is left running in any study, no process is
left, and every search finished exactly the trials that it was asked for.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks import processes
from records.run import EpochRecord
from records.search import SearchRecord
from records.trial import TrialRecord
from search.execute import worker
from search.execute.job import Job, Outcome
from search.execute.worker import Report

Strike = Callable[[int, list[int]], None]
"""Kills or stops something, given the driver and those that train; ProcessLookupError: nothing was there."""
ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 300.0
"""Seconds after which a session that neither ends nor finishes a trial counts as hung."""
GRACE = 15.0
"""Seconds that the processes of a dead driver have to end."""
GAVE_UP = 2
"""Exit code of a session that ended by itself and can be resumed: no fault where it was struck."""
SILENCE = 5.0
"""Seconds until a stopped worker is given up, here."""


def played(job: Job, device: str, report: Report) -> Outcome:
    """Pretend to train: epochs whose accuracies depend on the network alone; the winner is trained."""
    if job.keep is not None:
        return worker.run(job, device, report)
    began = time.perf_counter()
    level = zlib.crc32(repr(job.spec).encode()) % 1000 / 2000
    epochs: list[EpochRecord] = []
    state = "complete"
    for number in range(1, int(job.recipe["epochs"]) + 1):
        time.sleep(0.03)
        accuracy = level + 0.5 * number / (number + 2)
        epochs.append(EpochRecord(number, 1.0, accuracy, 1.0 - accuracy, accuracy, 0.1, 0.03))
        if not report(epochs[-1]):
            state = "pruned"
            break
    return Outcome(job.number, job.attempt, state, time.perf_counter() - began, tuple(epochs))


def drive(arguments: list[str]) -> int:
    """Be the process that is killed: `python -m search`, but for the training of trials."""
    from rich.console import Console

    from benchmarks.kill_search import (
        played as work,  # workers find it by its module, which is not "__main__"
    )
    from search.errors import SearchError
    from search.execute import slots
    from search.execute.ray import executor
    from search.options import parse_search
    from search.session.plan import plan_search
    from search.session.session import run
    from search.show.display import Display

    options, console = parse_search(arguments), Console(soft_wrap=True)
    slots.SILENCE = SILENCE if options.executor is None else 3 * SILENCE  # Ray may take seconds for a call
    executor.WAITING = executor.PLACING = 30.0
    plan = plan_search(options, console, work)
    try:
        with Display(console) as display:
            run(plan, display, work)
    except SearchError as error:  # both attempts at the winner were struck, say; --resume continues
        sys.stderr.write(f"{error}\n")
        return GAVE_UP
    finally:
        plan.close()
    return 0


class Campaign:
    """Searches in one folder, one after the other, until so many kills were done."""

    pause = 6.0
    """Seconds between two kills, at most."""

    def __init__(self, folder: Path, trials: int, jobs: int, seed: int) -> None:
        self.folder, self.trials, self.jobs = folder, trials, jobs
        self.random = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.acknowledged = self.lost = self.zombies = self.wrong = 0
        self.left: list[str] = []
        self.searches = self.sessions = 0
        self.strikes: dict[str, Strike] = {
            "worker": self._kill_worker,
            "driver": lambda driver, workers: os.kill(driver, signal.SIGKILL),
            "all": lambda driver, workers: os.killpg(driver, signal.SIGKILL),
            "stop a worker": self._stop_worker,
        }

    def go(self, kills: int) -> None:
        """Run searches to their ends until `kills` were done."""
        while self.kills.total() < kills:
            self._one(self.searches, kills)
            self.searches += 1

    def close(self) -> None:
        """End what the campaign has started beside its searches."""

    @property
    def faultless(self) -> bool:
        """Whether nothing was lost, left or miscounted."""
        return not (self.lost or self.zombies or self.wrong or self.left)

    def _one(self, number: int, kills: int) -> None:
        run = self.folder / "runs" / f"search-{number}"
        seen: dict[Path, bytes] = {}
        code: int | None = None
        while code != 0:
            driver = self._start(run)
            before = self.kills.total()
            code = self._session(driver, run, seen, kills)
            self.left += [f"{each} (session ended with {code})" for each in self._survivors(driver.pid)]
            self.lost += sum(not path.is_file() or path.read_bytes() != text for path, text in seen.items())
            struck = code == GAVE_UP and self.kills.total() > before
            if code not in (0, -signal.SIGKILL) and not struck:
                raise SystemExit(f"a session ended with {code}; see {self.folder / 'log.txt'}")
        self.acknowledged += len(seen)
        self._judge(run)

    def _start(self, run: Path) -> subprocess.Popen[bytes]:
        self.sessions += 1
        flags = ["--name", run.name, "--out", str(run.parent), "--jobs", str(self.jobs), "--resume"]
        flags += self._more_flags()
        if not (run / "search.json").is_file():
            flags += ["--data", str(self.folder / "images"), "--cache", str(self.folder / "cache")]
            flags += ["--device", "cpu", "--trials", str(self.trials), "--epochs", "4", "--finalists", "2"]
            flags += ["--final-epochs", "4", "--winner-epochs", "1", "--seed", str(self.searches)]
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "benchmarks.kill_search", "--drive", *flags],
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )

    def _session(
        self, driver: subprocess.Popen[bytes], run: Path, seen: dict[Path, bytes], kills: int
    ) -> int | None:
        """Let the driver work, strike at random moments, and return its exit code."""
        deadline, last = time.monotonic() + PATIENCE, -1
        # Where it is busy, not only where it imports: strikes begin when its first worker is there.
        strike: float | None = None
        while driver.poll() is None:
            time.sleep(0.05)
            now = time.monotonic()
            if len(seen) != last:
                last, deadline = len(seen), now + PATIENCE
            if now > deadline:
                os.killpg(driver.pid, signal.SIGKILL)
                raise SystemExit(f"no trial ended for {PATIENCE:g} s; see {self.folder / 'log.txt'}")
            _look(run, seen)
            if self.kills.total() == kills or (strike is not None and now < strike):
                continue
            workers = self._workers(driver.pid)
            if strike is not None and workers:
                self._strike(driver.pid, workers)
            strike = now + self.random.uniform(0.0, self.pause) if workers else None
        _look(run, seen)
        return driver.returncode

    def _strike(self, driver: int, workers: list[int]) -> None:
        kind = self.random.choice(tuple(self.strikes))
        try:
            self.strikes[kind](driver, workers)
        except ProcessLookupError:  # it ended by itself in this very moment, or there is none
            return
        self.kills[kind] += 1

    def _kill_worker(self, driver: int, workers: list[int]) -> None:
        os.kill(self.random.choice(workers), signal.SIGKILL)

    def _stop_worker(self, driver: int, workers: list[int]) -> None:
        workers = [pid for pid in workers if processes.started(pid)]
        if not workers:
            raise ProcessLookupError
        os.kill(self.random.choice(workers), signal.SIGSTOP)

    def _more_flags(self) -> list[str]:
        """Return how a session is started elsewhere."""
        return []

    def _workers(self, driver: int) -> list[int]:
        """Return the processes that train."""
        return processes.children(driver)

    def _survivors(self, session: int) -> list[str]:
        return _survivors(session)

    def _judge(self, run: Path) -> None:
        """Compare folder, search.json and study of a search that has finished."""
        import optuna

        records = [TrialRecord.read(path) for path in sorted((run / "trials").glob("[0-9]*.json"))]
        ended = {record.number for record in records if record.state in ("complete", "pruned")}
        study = optuna.load_study(study_name=run.name, storage=f"sqlite:///{run / 'study.db'}")
        states = {trial.number: trial.state.name for trial in study.get_trials(deepcopy=False)}
        self.zombies += sum(state == "RUNNING" for state in states.values())
        told = {number for number, state in states.items() if state in ("COMPLETE", "PRUNED")}
        counts = SearchRecord.read(run / "search.json").trials
        self.wrong += len(ended) != self.trials
        self.wrong += told != ended
        self.wrong += counts["complete"] + counts["pruned"] != self.trials


def _look(run: Path, seen: dict[Path, bytes]) -> None:
    """Note the records that lie there: from now on they may not be lost."""
    for path in (run / "trials").glob("[0-9]*.json"):
        if path not in seen:
            seen[path] = path.read_bytes()


def _survivors(session: int) -> list[str]:
    """Return the processes of the driver's session that outlive it by `GRACE` seconds, and kill them."""
    deadline = time.monotonic() + GRACE
    while alive := processes.alive(session):
        if time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.killpg(session, signal.SIGKILL)
            break
        time.sleep(0.1)
    return alive


def _draw_images(folder: Path) -> None:
    """Draw two classes that are easily told apart, for the winner's real training."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, count in (("train", 90), ("test", 10)):
        for name, low in (("dark", 0), ("light", 128)):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(low, low + 128, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number:03}.png")


def main() -> int:
    """Run the campaign; return 0 where it found no fault."""
    if sys.argv[1:2] == ["--drive"]:
        return drive(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--trials", type=int, default=40, help="of each search")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--executor", choices=("local", "ray"), default="local")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kill-search-") as name:
        folder = Path(name)
        _draw_images(folder / "images")
        make: type[Any] = Campaign
        if options.executor == "ray":
            from benchmarks import kill_search_ray

            make = kill_search_ray.RayCampaign
        campaign = make(folder, options.trials, options.jobs, options.seed)
        try:
            campaign.go(options.kills)
        except SystemExit:
            sys.stderr.write((folder / "log.txt").read_text(errors="replace")[-4000:])
            raise
        finally:
            campaign.close()
    kinds = ", ".join(f"{kind} {count}" for kind, count in campaign.kills.items())
    sys.stdout.write(
        f"{campaign.kills.total()} kills ({kinds}) in {campaign.sessions} sessions of {campaign.searches} "
        f"searches, seed {options.seed}, {time.monotonic() - began:.0f} s\n"
        f"acknowledged trials {campaign.acknowledged}, lost or changed {campaign.lost}\n"
        f"trials left running in a study {campaign.zombies}, processes left {len(campaign.left)}\n"
        f"searches that did not finish exactly {options.trials} trials {campaign.wrong}\n"
    )
    for each in campaign.left:
        sys.stdout.write(f"left: {each}\n")
    return 0 if campaign.faultless else 1


if __name__ == "__main__":
    sys.exit(main())
