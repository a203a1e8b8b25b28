"""Facts of Linux about processes, for the campaigns that kill some."""

from __future__ import annotations

import signal
from pathlib import Path


def children(driver: int) -> list[int]:
    """Return the processes that Python's multiprocessing has started for `driver`."""
    # multiprocessing's resource tracker is a child too.
    return [pid for pid in all_of() if parent(pid) == driver and b"spawn_main" in command(pid)]


def started(worker: int) -> bool:
    """Tell whether a worker is past its first steps, the last of which is to ignore SIGINT."""
    try:
        status = Path(f"/proc/{worker}/status").read_text()
    except OSError:
        return False
    ignored = next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
    return bool(int(ignored, 16) >> (signal.SIGINT - 1) & 1)


def alive(session: int) -> list[str]:
    """Return state and command of each process of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, owner = path.read_text().rpartition(")")[2].split()[:4]
            command = (path.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (OSError, ValueError):
            continue
        if int(owner) == session and state != "Z":
            found.append(f"{state} {command[:120]}")
    return found


def all_of() -> list[int]:
    """Return all processes."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def parent(pid: int) -> int | None:
    """Return the parent of a process; None where there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def command(pid: int) -> bytes:
    """Return the command of a process; b"" where there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def runs(pid: int) -> bool:
    """Return whether a process is there and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
