"""A Ray cluster of two nodes on this machine, for campaigns and tests: real processes, one CPU each.

    python -m benchmarks.ray_cluster

prints one line of JSON, {"address": ..., "nodes": [{"raylet": [pid], "gcs_server": [pid], ...}, ...]}, and
ends the cluster when its standard input ends. Killed itself, its nodes end with it.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import processes

STARTING = 300
"""Seconds for both nodes."""
ROOT = Path(__file__).resolve().parent.parent


@dataclass
class TwoNodes:
    """Such a cluster in a process of its own, which alone imports Ray."""

    process: "subprocess.Popen[str]"
    address: str
    nodes: list[dict[str, list[int]]]
    """Processes of the head and of the other node, by kind."""
    _met: set[int] = field(default_factory=set)
    """Actors so far: where a raylet is killed, its own have another parent from then on."""

    @classmethod
    def start(cls, cpus: int = 1) -> "TwoNodes":
        """Start it; each node has so many CPUs, whatever the machine has."""
        # Ray's workers run at niceness 15 by default: beside other programs they would hardly run at all.
        environment = os.environ | {"RAY_worker_niceness": "0"}
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.ray_cluster", str(cpus)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
            env=environment,
            start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"Ray's nodes did not start, exit code {process.wait()}")
        facts = json.loads(line)
        return cls(process, facts["address"], facts["nodes"])

    def actors(self) -> list[int]:
        """Return the processes of this cluster's actors that look after a worker."""
        raylets = {node["raylet"][0] for node in self.nodes if node.get("raylet")}
        named = [pid for pid in processes.all_of() if processes.command(pid).startswith(b"ray::WorkerActor")]
        self._met.update(pid for pid in named if processes.parent(pid) in raylets)
        return [pid for pid in named if pid in self._met]

    def stop(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def main(cpus: int) -> None:
    """Run the cluster until standard input ends."""
    from ray.cluster_utils import Cluster

    # Each node is waited for 30 s by default, which a busy machine exceeds.
    head = {"num_cpus": cpus, "include_dashboard": False, "wait": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=cpus, wait=False)
    cluster.wait_for_nodes(timeout=STARTING)
    nodes = [
        {kind: [info.process.pid for info in infos] for kind, infos in node.all_processes.items()}
        for node in cluster.list_all_nodes()
    ]
    sys.stdout.write(json.dumps({"address": cluster.address, "nodes": nodes}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1)
