"""A limit on the memory that the code of a model may take, where the system has one (RLIMIT_AS)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rfcalc.errors import UsageError

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_STATUS = Path("/proc/self/status")


def parse_memory(text: str) -> int:
    """Read an amount of memory: "4G", "512M", "1.5 GiB", or a number of bytes.

    Returns:
        Bytes.

    Raises:
        UsageError: It is no such amount, or none at all.
    """
    found = re.fullmatch(
        r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.ASCII | re.IGNORECASE
    )
    amount = int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if amount < 1:
        raise UsageError(f"--max-memory {text}: write an amount such as 4G or 512M")
    return amount


@contextmanager
def limited(amount: int | None) -> Iterator[None]:
    """Let this process take no more than `amount` bytes beyond what it has taken.

    What is counted is address space, as `ulimit -v` counts it: PyTorch has mapped some gigabytes of its
    libraries already, which is why the limit is set on top of them.

    Raises:
        UsageError: The system cannot limit memory.
    """
    if amount is None:
        yield
        return
    try:
        import resource

        taken = _taken()
        before = resource.getrlimit(resource.RLIMIT_AS)
        wanted = taken + amount
        hard = before[1]
        resource.setrlimit(
            resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )
    except (ImportError, AttributeError, OSError, ValueError) as error:
        raise UsageError(
            "--max-memory: this system has no limit on the memory of a process (RLIMIT_AS, /proc); "
            "run it in a container with a limit instead"
        ) from error
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _taken() -> int:
    """Return the address space of this process, in bytes."""
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmSize:"):
            return int(line.split()[1]) * 1024
    raise OSError("no VmSize")


def is_exhausted(error: BaseException | None) -> bool:
    """Return whether an error, or one that it came from, is a lack of memory."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        # PyTorch has no exception of its own for memory of the CPU.
        if isinstance(error, MemoryError) or "allocate memory" in _text(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""
