"""How long a training step of a network takes, against another network: the cost that a user waits for.

MACs do not tell it: a network with gates needed 137 s of a processor where `residual` needed 148 at nearly as
many MACs, one that keeps a larger map 202.
"""

import time
from dataclasses import dataclass, field, replace

import torch
from torch.nn import functional as F

from models.net import build
from models.spec import NetSpec
from search.propose.space import fingerprint
from training.fit.device import memory_format, resolve
from training.fit.precision import autocast, float32_where_bfloat16_is_unfit
from training.fit.recipe import Recipe

STEPS = 3
"""Steps of each network, the fastest of which counts, after one that warms up."""


@dataclass
class StepTime:
    """Compares training steps.

    Attributes:
        recipe: Of the trainings: batch size, precision, layout.
        device: "cpu", "cuda" or "mps".
        limit: Times the other network's step above which a network is too slow.
    """

    recipe: Recipe
    device: str
    limit: float
    _known: dict[str, bool] = field(default_factory=dict)

    def too_slow(self, spec: NetSpec, base: NetSpec) -> bool:
        """Return whether a step of `spec` takes more than `limit` times one of `base`.

        Both are measured in turn, now and on one thread, so that other programs slow both alike. A network
        that is within some percent of the limit may be judged otherwise the next time.
        """
        mark = fingerprint(spec)
        if mark not in self._known:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            try:
                with torch.random.fork_rng(devices=[]):
                    self._known[mark] = self._ratio(spec, base) > self.limit
            finally:
                torch.set_num_threads(threads)
        return self._known[mark]

    def _ratio(self, spec: NetSpec, base: NetSpec) -> float:
        device = resolve(self.device)
        shape = (self.recipe.batch_size, *base.input_size)
        layout = memory_format(self.recipe.layout)
        # Of a stream of its own: the measurement must not move any other.
        images = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)
        images = images.to(memory_format=layout)
        labels = torch.zeros(shape[0], dtype=torch.int64, device=device)
        networks = [
            build(replace(each, name="step")).to(device).to(memory_format=layout).train()
            for each in (spec, base)
        ]
        least = [float("inf")] * 2
        for step in range(1 + STEPS):
            for place, network in enumerate(networks):
                began = self._now(device)
                precision = self.recipe.precision
                with float32_where_bfloat16_is_unfit(network, device, precision), autocast(device, precision):
                    loss = F.cross_entropy(network(images).float(), labels)
                loss.backward()  # type: ignore[no-untyped-call]
                if step:
                    least[place] = min(least[place], self._now(device) - began)
        return least[0] / max(least[1], 1e-9)

    def _now(self, device: torch.device) -> float:
        """Return seconds: of this processor alone on a CPU, where other programs take their turns."""
        if device.type == "cpu":
            return time.process_time()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()
