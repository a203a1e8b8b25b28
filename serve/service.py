"""Service: a model, its queue and its figures; answers pictures and swaps the model while it runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.errors import SpecError
from records.errors import UserError, one_line
from records.pictures import PictureError, UnknownFormatError
from serve.bodies import LARGEST
from serve.errors import ProblemError, busy
from serve.explain import covered, drops
from serve.fetch import Fetcher, Pattern
from serve.metrics import Metrics
from serve.model import FORMATS, Model
from serve.queue import Batcher, RequestLimit, Row

_log = logging.getLogger("serve")
_DECODERS = 2
"""Threads that decode pictures; a picture of 40 million pixels takes 120 MB for a moment."""


@dataclass(frozen=True)
class Settings:
    """How a service answers."""

    fetches: bool = True
    """Whether URLs are fetched."""
    patterns: tuple[Pattern, ...] = ()
    """URLs that are fetched; empty: any public one."""
    allow_private: bool = False
    """Whether private addresses are fetched."""
    explains: bool = True
    """Whether occlusion is computed."""
    queue: int = 128
    """Requests inside at the same time at most."""
    workers: int = 2
    """Threads that answer."""
    seconds: float = 10.0
    """For one request, from its body to its answer."""
    hosts: tuple[str, ...] = ()
    """Names that the Host header may hold, beside localhost and the address itself."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model answers to one picture."""

    model: Model
    image: npt.NDArray[np.uint8]
    """(H, W, 3): what the network read."""
    row: Row
    """(classes,) probabilities."""
    seconds: float
    drops: list[list[float]] | None = None
    """By how much each cell's cover lowers the probability of the answer; None: not asked."""

    def top(self, count: int) -> list[tuple[str, float]]:
        """Return the likeliest classes with their probabilities."""
        order = np.argsort(-self.row, kind="stable")[:count]
        return [(self.model.trained.classes[index], float(self.row[index])) for index in order]


@dataclass
class Service:
    """A running service.

    Args:
        model: Answers, until `reload` swaps it.
        load: Loads the model anew.
        settings: How it answers.
        fetcher: Fetches URLs; by default as the settings say.
    """

    model: Model
    load: Callable[[], Model]
    settings: Settings = field(default_factory=Settings)
    fetcher: Fetcher | None = None
    metrics: Metrics = field(default_factory=Metrics)
    ready: bool = False

    def __post_init__(self) -> None:
        settings = self.settings
        if self.fetcher is None and settings.fetches:
            self.fetcher = Fetcher(
                largest=LARGEST, allow_private=settings.allow_private, patterns=settings.patterns
            )
        self.limit = RequestLimit(settings.queue)
        self.batcher = Batcher(workers=settings.workers, observe=self.metrics.batches.observe)
        self._decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode")
        self._explaining = asyncio.Semaphore(1)
        self._reloading = asyncio.Lock()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer within it."""
        self.batcher.start()
        self.ready = True
        try:
            yield
        finally:
            self.ready = False
            await self.batcher.stop()
            self._decoders.shutdown(wait=False, cancel_futures=True)

    async def answer(self, data: bytes, *, explain: bool = False) -> Answer:
        """Answer the bytes of a picture.

        Raises:
            ProblemError: 415 of a format that is not read, 422 damaged or too large, 403 no explanations.
        """
        if explain and not self.settings.explains:
            raise ProblemError(403, "this service computes no explanations; ask without explain")
        started = time.perf_counter()
        model = self.model
        loop = asyncio.get_running_loop()
        try:
            image = await loop.run_in_executor(self._decoders, model.prepare, data)
        except UnknownFormatError:
            known = ", ".join(FORMATS)
            raise ProblemError(415, f"this is no picture of a format that is read ({known})") from None
        except PictureError as error:
            raise ProblemError(422, f"the picture cannot be read: {error}") from None
        row = await self.batcher.answer(model, image)
        best = int(row.argmax())
        lost = await self._explain(model, image, row, best) if explain else None
        seconds = time.perf_counter() - started
        self.metrics.answered(model.trained.classes[best], float(row[best]))
        self.metrics.seconds.observe(seconds)
        return Answer(model, image, row, seconds, lost)

    async def _explain(
        self, model: Model, image: npt.NDArray[np.uint8], row: Row, best: int
    ) -> list[list[float]]:
        if self._explaining.locked():  # it costs as much as 64 answers: one at a time
            raise busy()
        async with self._explaining:
            asked = [self.batcher.answer(model, copy) for copy in covered(image, model.trained.mean)]
            rows = await asyncio.gather(*asked)
        return drops(float(row[best]), [float(each[best]) for each in rows], image)

    async def reload(self) -> bool:
        """Load the model beside the one that answers, and swap them; return whether that was done.

        What is already prepared for the old one is answered by it. A model that cannot be used changes
        nothing.
        """
        async with self._reloading:
            try:
                fresh = await asyncio.to_thread(self.load)
            except (UserError, SpecError, OSError) as error:
                self.metrics.reloads["failed"] += 1
                _log.error("reload failed, the weights before go on: %s", one_line(error))
                return False
            before, self.model = self.model, fresh
            self.metrics.reloads["done"] += 1
            _log.warning("reloaded: %s %s in place of %s", fresh.trained.name, fresh.version, before.version)
            return True
