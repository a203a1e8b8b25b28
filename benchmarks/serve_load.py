"""The service under load: answers a second, how long they take, how long /health takes, and its memory.

    python -m benchmarks.serve_load [RUN] [--clients 1 10 100] [--seconds 10] [--side 224]
                                   [--reloads 0] [--json FILE]

The service runs in a process of its own and listens on loopback; so many clients post a JPEG of noise, each
one after the other over a connection that it keeps, for so many seconds at most. Without RUN it serves `tiny`
with random weights, which says what the service itself costs. Both run on the same machine: the clients take
their part of its processors. `--reloads` asks the service so many times, evenly over the load, to swap its
weights (SIGHUP); how often it did is shown, and each answer that is no 200 counts as an error.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import httpcore2
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
MOST_CLIENTS, MOST_SECONDS = 500, 60


def jpeg(side: int) -> bytes:
    """Return a JPEG of soft noise: of a photograph's size rather than of white noise's."""
    small = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
    content = BytesIO()
    Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(content, "JPEG", quality=90)
    return content.getvalue()


def untrained(folder: Path) -> Path:
    """Write `tiny` with random weights."""
    # The process that watches /health imports this module, and has no need of torch.
    from models.net import build
    from models.presets import PRESETS
    from records.layout import WEIGHTS
    from training.fit.checkpoint import save_weights

    spec = PRESETS["tiny"]
    metadata = {
        "network": spec.name,
        "spec": spec.to_json(),
        "classes": [f"class {number}" for number in range(spec.classes)],
        "input_size": list(spec.input_size),
        "normalisation": {"mean": [125.0, 123.0, 114.0], "std": [63.0, 62.0, 67.0]},
        "dataset": "none",
    }
    save_weights(folder / WEIGHTS, build(spec), metadata)
    return folder / WEIGHTS


def watch(url: str, seconds: float) -> list[float]:
    """Return how long /health took, asked ten times a second."""
    took = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        start = time.monotonic()
        connection.request("GET", "/health")
        connection.getresponse().read()
        took.append(time.monotonic() - start)
        connection.close()
        time.sleep(0.1)
    return took


async def load(
    url: str, clients: int, seconds: float, body: bytes, reload: Callable[[], None], reloads: int
) -> dict[str, float]:
    """Return what so many clients saw while the service swapped its weights so many times."""
    took: list[float] = []
    wrong = busy = 0

    async def swap() -> None:
        for _ in range(reloads):
            await asyncio.sleep(seconds / (reloads + 1))
            reload()

    async def client() -> None:
        nonlocal wrong, busy
        async with httpcore2.AsyncConnectionPool(max_connections=1) as pool:
            while time.monotonic() < end:
                start = time.monotonic()
                answer = await pool.request(
                    "POST", f"{url}/api", headers=[("Content-Type", "image/jpeg")], content=body
                )
                if answer.status == 200:
                    took.append(time.monotonic() - start)
                elif answer.status == 503:
                    busy += 1
                    await asyncio.sleep(1)
                else:
                    wrong += 1

    # In a process of its own: beside a hundred clients in one loop it would measure them.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(watch, url, 0.0).result()  # its start is over before the clients'
        end = time.monotonic() + seconds
        watching = pool.submit(watch, url, seconds)
        start = time.monotonic()
        async with asyncio.timeout(seconds + 60):
            await asyncio.gather(swap(), *(client() for _ in range(clients)))
        spent = time.monotonic() - start
        health = watching.result()
    return {
        "answers_a_second": len(took) / spent,
        "median_ms": 1000 * float(np.median(took or [np.nan])),
        "p95_ms": 1000 * float(np.quantile(took or [np.nan], 0.95)),
        "health_p95_ms": 1000 * float(np.quantile(health or [np.nan], 0.95)),
        "health_largest_ms": 1000 * max(health, default=float("nan")),
        "busy": busy,
        "errors": wrong,
    }


def memory(pid: int) -> dict[str, float]:
    """Return the resident memory of a process in MB, now and at most; nothing where there is no /proc."""
    status = Path(f"/proc/{pid}/status")
    if not status.is_file():
        return {}
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return {
        name: int(lines[key].split()[0]) / 1000
        for name, key in (("resident_mb", "VmRSS"), ("largest_resident_mb", "VmHWM"))
    }


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process; NaN where there is no /proc."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.is_file():
        return float("nan")
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100  # clock ticks of USER_HZ, which is 100 on Linux


def reloads_done(url: str) -> int:
    """Return how often the service has swapped its weights."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    found = re.search(r'^serve_reloads_total{result="done"} (\d+)$', text, re.MULTILINE)
    return int(found.group(1)) if found else 0


def measure(
    run: Path, clients: list[int], seconds: float, body: bytes, reloads: int
) -> dict[int, dict[str, Any]]:
    """Start the service, load it, and end it."""
    command = [sys.executable, "-m", "serve", str(run), "--port", "0", "--no-url"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout is not None
            line = service.stdout.readline()
            if "http://" not in line:
                raise SystemExit("the service did not start")
            url = line[line.index("http://") :].strip()
            found = {}
            for count in clients:
                before = processor_seconds(service.pid)
                swapped = reloads_done(url)
                reload = partial(os.kill, service.pid, signal.SIGHUP)
                seen = asyncio.run(load(url, count, seconds, body, reload, reloads))
                if reloads:
                    seen["reloads"] = reloads_done(url) - swapped
                answers = seen["answers_a_second"] * seconds
                spent = processor_seconds(service.pid) - before
                cost = {"processor_ms_an_answer": 1000 * spent / max(answers, 1)}
                found[count] = {**seen, **cost, **memory(service.pid)}
            return found
        finally:
            service.terminate()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--reloads", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if max(options.clients) > MOST_CLIENTS or options.seconds > MOST_SECONDS:
        parser.error(f"at most {MOST_CLIENTS} clients and {MOST_SECONDS} seconds")
    with tempfile.TemporaryDirectory() as scratch:
        run = options.run or untrained(Path(scratch))
        found = measure(run, options.clients, options.seconds, jpeg(options.side), options.reloads)
    table = Table(title=f"{options.run or 'tiny, untrained'}: {options.side} px JPEG", title_justify="left")
    table.add_column("clients")
    for count in found:
        table.add_column(f"{count:,}", justify="right")
    for name in dict.fromkeys(name for each in found.values() for name in each):
        table.add_row(name.replace("_", " "), *(f"{each[name]:,.1f}" for each in found.values()))
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
