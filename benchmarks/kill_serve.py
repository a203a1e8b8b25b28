"""End the service under load at random moments, and read every answer that it gave.

    python -m benchmarks.kill_serve [RUN] [--terms 20] [--kills 5] [--clients 20] [--seed 0]

Each time the service starts in a process of its own, clients post pictures whose answers are known, and after
a moment the process gets SIGTERM or SIGKILL. An answer is right (the class and probability that the model
itself gives), a refusal (503), cut (the connection was closed without an answer), or not accepted (there was
no connection). Anything else is wrong: an answer of another picture, another status, half of a JSON. Without
RUN it serves `tiny` with random weights.

Exit code 0: no answer was wrong, and after each SIGTERM the process ended by itself within 5 seconds with
exit code 0.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from benchmarks.serve_load import ROOT, untrained
from serve.model import load

LIMIT = 5.0
"""Seconds from SIGTERM to the end of the process."""
_ALIKE = 1e-3
"""In a batch with others the last digits of a probability may differ."""
_PICTURES = 8


def pictures(side: int) -> list[bytes]:
    """Return PNGs of noise, each another one."""
    made = []
    for seed in range(_PICTURES):
        pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
        content = BytesIO()
        Image.fromarray(pixels).save(content, "PNG")
        made.append(content.getvalue())
    return made


def known(run: Path, sent: list[bytes]) -> list[tuple[str, float]]:
    """Return class and probability of each picture, as the model itself gives them."""
    model = load(run)
    rows = [model.probabilities(model.prepare(each)[None])[0] for each in sent]
    return [(model.trained.classes[int(row.argmax())], float(row.max())) for row in rows]


def post(port: int, body: bytes, expected: tuple[str, float]) -> str:
    """Post one picture and return what came of it: right, refused, cut, not accepted, or "wrong: ..."."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/api", body, {"Content-Type": "image/png"})
        response = connection.getresponse()
        content = response.read()
    except ConnectionRefusedError:
        return "not accepted"
    except (OSError, http.client.HTTPException):
        return "cut"
    finally:
        connection.close()
    if response.status == 503:
        return "refused"
    try:
        found = json.loads(content)
        name, probability = found["class"], float(found["confidence"])
    except (ValueError, KeyError, TypeError):
        return f"wrong: {response.status} {content[:200]!r}"
    if response.status == 200 and name == expected[0] and abs(probability - expected[1]) <= _ALIKE:
        return "right"
    return f"wrong: {response.status} {found}, expected {expected}"


def end(
    run: Path,
    number: signal.Signals,
    after: float,
    clients: int,
    sent: list[bytes],
    answers: list[tuple[str, float]],
) -> tuple[Counter[str], float, int]:
    """Start the service, load it, end it.

    Returns:
        How often what came of a request, the seconds from the signal to the end, the exit code.
    """
    command = [sys.executable, "-m", "serve", str(run), "--port", "0", "--no-url"]
    service = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert service.stdout is not None
        line = service.stdout.readline()
        if "http://" not in line:
            raise SystemExit("the service did not start")
        port = int(line.rsplit(":", 1)[1])
        over = threading.Event()

        def client(first: int) -> Counter[str]:
            seen: Counter[str] = Counter()
            position = first
            while not over.is_set():
                found = post(port, sent[position % _PICTURES], answers[position % _PICTURES])
                seen[found] += 1
                position += 1
                if found == "not accepted":
                    break
            return seen

        with ThreadPoolExecutor(clients) as pool:
            loads = [pool.submit(client, first) for first in range(clients)]
            time.sleep(after)
            start = time.monotonic()
            service.send_signal(number)
            code = service.wait(60)
            seconds = time.monotonic() - start
            over.set()
            total = sum((each.result() for each in loads), Counter[str]())
        return total, seconds, code
    finally:
        service.kill()
        service.wait()


def main() -> int:
    """Run the campaign, print it, return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN")
    parser.add_argument("--terms", type=int, default=20)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console, draws = Console(), random.Random(options.seed)
    sent = pictures(options.side)
    numbers = [signal.SIGTERM] * options.terms + [signal.SIGKILL] * options.kills
    draws.shuffle(numbers)
    total: Counter[str] = Counter()
    ends: list[float] = []
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        run = options.run or untrained(Path(scratch))
        answers = known(run, sent)
        for turn, number in enumerate(numbers, start=1):
            seen, seconds, code = end(run, number, draws.uniform(0.2, 2.5), options.clients, sent, answers)
            total += seen
            if number is signal.SIGTERM:
                ends.append(seconds)
                bad += code != 0 or seconds > LIMIT
            text = ", ".join(f"{count:,} {what}" for what, count in sorted(seen.items()))
            console.print(
                f"{turn}/{len(numbers)} {number.name}: {text}; ended after {seconds:.1f} s with {code}",
                markup=False,
            )
    wrong = sum(count for what, count in total.items() if what.startswith("wrong"))
    console.print(
        f"{total['right']:,} right, {total['refused']:,} refused, {total['cut']:,} cut, {wrong} wrong; "
        f"SIGTERM to the end: {max(ends, default=0):.1f} s at most, {bad} too slow or failed",
        soft_wrap=True,
    )
    return 1 if wrong or bad else 0


if __name__ == "__main__":
    sys.exit(main())
