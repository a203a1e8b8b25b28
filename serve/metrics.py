"""Figures of a running service, in the text format of Prometheus (version 0.0.4)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCHES = (1.0, 2.0, 4.0, 8.0)


class Histogram:
    """How often values fell below bounds.

    Args:
        bounds: Ascending, inclusive.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> list[str]:
        """Return the samples: counts up to each bound, their sum and their number."""
        found, total = [], 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            found.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*found, f"{name}_sum {self._sum:.6f}", f"{name}_count {total}"]


class Metrics:
    """What is counted; all in the thread of the event loop."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        """By route and status."""
        self.seconds = Histogram(SECONDS)
        """Of requests that a model answered."""
        self.batches = Histogram(BATCHES)
        self.answers: Counter[str] = Counter()
        """By class."""
        self.confidence = 0.0
        """Sum; divided by the answers it is the mean: one that sinks shows that the pictures change."""
        self.reloads: Counter[str] = Counter()
        """By "done" and "failed"."""

    def answered(self, name: str, confidence: float) -> None:
        """Count an answer."""
        self.answers[name] += 1
        self.confidence += confidence

    def text(self, gauges: Mapping[str, float], model: Mapping[str, str]) -> str:
        """Return the page.

        Args:
            gauges: Values of this moment by name.
            model: Labels of the model that answers.
        """
        parts = [
            _head("serve_requests_total", "counter", "Requests by route and status."),
            *(
                f"serve_requests_total{_labels(path=path, code=str(code))} {count}"
                for (path, code), count in sorted(self.requests.items())
            ),
            _head("serve_seconds", "histogram", "Time of answered pictures."),
            *self.seconds.lines("serve_seconds"),
            _head("serve_batch_size", "histogram", "Pictures of a batch."),
            *self.batches.lines("serve_batch_size"),
            _head("serve_answers_total", "counter", "Answers by class."),
            *(
                f"serve_answers_total{_labels(**{'class': name})} {count}"
                for name, count in sorted(self.answers.items())
            ),
            _head("serve_confidence_sum", "counter", "Sum of the confidence of all answers."),
            f"serve_confidence_sum {self.confidence:.6f}",
            _head("serve_reloads_total", "counter", "Reloads of the weights by result."),
            *(
                f"serve_reloads_total{_labels(result=result)} {count}"
                for result, count in sorted(self.reloads.items())
            ),
        ]
        for name, value in gauges.items():
            parts += [
                _head(f"serve_{name}", "gauge", name.replace("_", " ").capitalize() + "."),
                f"serve_{name} {value:g}",
            ]
        parts += [
            _head("serve_model_info", "gauge", "The model that answers."),
            f"serve_model_info{_labels(**model)} 1",
        ]
        return "\n".join(parts) + "\n"


def _head(name: str, kind: str, help: str) -> str:
    return f"# HELP {name} {help}\n# TYPE {name} {kind}"


def _labels(**values: str) -> str:
    def escaped(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in values.items()) + "}"
