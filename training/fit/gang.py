"""Gang: several networks in training at once, in one process on one device.

    gang = Gang(train, validation, device="cuda", size=16)
    while networks or gang.running:
        while gang.free and networks:
            gang.submit(key, model, recipe, seed=0)
        for event in gang.round():          # one epoch of every member
            if isinstance(event, EpochEnded) and hopeless(event.record, event.losses):
                gang.stop(event.key)        # its MemberEnded is among the next round's events
    gang.close()

On CUDA each member has its own recorded step (`training.fit.whole`) and its own stream; the images and the
augmented epoch are shared by members of equal policy, batch and seed that are in the same epoch, so members
that are submitted together cost least. Elsewhere members are trained one after the other, an epoch each.
Either way a member becomes what `training.fit.loop.fit` alone would make of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import nn

from training.batches.pool import Pool
from training.data.samples import Samples
from training.errors import TrainingError
from training.fit.depthwise import faster_depthwise
from training.fit.device import determinism, resolve
from training.fit.engine import Run
from training.fit.member import EpochEnded as EpochEnded
from training.fit.member import GangBrokenError as GangBrokenError
from training.fit.member import Key, Member, draws
from training.fit.member import MemberEnded as MemberEnded
from training.fit.memory import ran_out
from training.fit.precision import float32_where_bfloat16_is_unfit
from training.fit.recipe import Recipe

T = TypeVar("T")


class Gang:
    """Networks in training at once.

    Args:
        train: Training images of every member.
        validation: Images that each epoch is judged on; None: no judgement.
        device: "cpu", "cuda", "mps" or "auto".
        size: Most members at a time.
        deterministic: The same bits at every run on this machine.
        workers: As `training.fit.loop.fit` has it, where images are augmented on the processor.

    Raises:
        TrainingError: There is no such device, or the classes of the images differ.
    """

    def __init__(
        self,
        train: Samples,
        validation: Samples | None,
        *,
        device: str = "cpu",
        size: int = 1,
        deterministic: bool = False,
        workers: int | None = None,
    ) -> None:
        if size < 1:
            raise TrainingError(f"`size >= 1` must hold, but got size={size}")
        if validation is not None and validation.classes != train.classes:
            raise TrainingError("the training and the validation images have different classes")
        self._train, self._validation, self._size = train, validation, size
        self._device, self._deterministic, self._workers = resolve(device), deterministic, workers
        self._members: dict[Key, Member] = {}
        self._pools: dict[tuple[object, ...], Pool] = {}
        self._common: Any = None
        self._notices: list[tuple[Key, str]] = []

    @property
    def free(self) -> int:
        """Return how many more members can be submitted now."""
        return self._size - len(self._members)

    @property
    def running(self) -> tuple[Key, ...]:
        """Return the keys of the members, waiting ones included."""
        return tuple(self._members)

    def submit(
        self, key: Key, model: nn.Module, recipe: Recipe, *, seed: int, teacher: nn.Module | None = None
    ) -> None:
        """Take a network in; its first epoch is in the next round.

        Args:
            key: Its name, which no other member has.
            model: Trained in place, from its present weights; it is moved to the device.
            recipe: How to train it.
            seed: Seed of shuffling, augmentation, dropout and mixing.
            teacher: As `training.fit.loop.fit` has it.

        Raises:
            TrainingError: There is no free place, or the key is taken.
        """
        if not self.free:
            raise TrainingError(f"all {self._size} places of the gang are taken")
        if key in self._members:
            raise TrainingError(f"the gang has a member {key!r} already")
        self._members[key] = Member(key, model, recipe, seed, teacher)

    def stop(self, key: Key) -> None:
        """Let a member leave before its next epoch; a key that is no member's is passed over."""
        if key in self._members:
            self._members[key].stopped = True

    def round(self) -> list[EpochEnded | MemberEnded]:
        """Train every member for one epoch, and return what happened, in the order of their submission.

        Raises:
            GangBrokenError: The device is of no more use.
        """
        events: dict[Key, list[EpochEnded | MemberEnded]] = {key: [] for key in self._members}
        devices = [self._device] if self._device.type == "cuda" else []
        with determinism(self._deterministic, self._device), torch.random.fork_rng(devices=devices):
            for member in list(self._members.values()):
                if member.stopped:
                    events[member.key].append(self._leave(member, "stopped"))
                elif isinstance(failed := self._attempt(member, self._begin), MemberEnded):
                    events[member.key].append(failed)
            for together in self._groups():
                for failed in self._steps(together):
                    events[failed.key].append(failed)
                for member in together:
                    if member.key in self._members:
                        events[member.key] += self._close_epoch(member)
        return [event for each in events.values() for event in each]

    def notices(self) -> list[tuple[Key, str]]:
        """Return what users should know of members, each once: a step that cannot be recorded, say."""
        found, self._notices = self._notices, []
        return found

    def close(self) -> None:
        """Let every member go, as it is."""
        for member in list(self._members.values()):
            self._leave(member, "stopped")
        self._pools.clear()

    def _begin(self, member: Member) -> None:
        """Make a member ready, unless it is."""
        if member.run is not None:
            return
        member.stream = self._stream(member.model)
        if member.stream is not None:
            member.stream.wait_stream(torch.cuda.current_stream(self._device))

        def notice(text: str) -> None:
            self._notices.append((member.key, text))

        with self._on(member):
            run = Run(
                member.model,
                self._train,
                member.recipe,
                member.seed,
                self._device,
                self._deterministic,
                None,
                member.teacher,
                on_notice=notice,
            )
            recipe = run.recipe
            member.stack.enter_context(
                float32_where_bfloat16_is_unfit(member.model, self._device, recipe.precision)
            )
            shape = (recipe.batch_size, 3, *self._train.image_size)
            member.stack.enter_context(
                faster_depthwise(member.model, shape, self._device, recipe.precision, run.length, notice)
            )
            if recipe.compile == "graphs" and recipe.augment == "gpu":
                shared = (recipe.policy, recipe.batch_size, recipe.balance, member.seed)
                if shared not in self._pools:
                    used = [each.batches for each in self._members.values()]
                    self._pools = {key: pool for key, pool in self._pools.items() if pool in used}
                    self._pools[shared] = run.pool()
                member.batches = self._pools[shared]
            else:
                member.batches = member.stack.enter_context(run.loader(self._workers))
        member.run = run

    def _groups(self) -> Iterator[list[Member]]:
        """Yield the members that may make their steps at the same time: they read the same images."""
        groups: dict[tuple[object, ...], list[Member]] = {}
        for member in self._members.values():
            alone = self._device.type != "cuda"
            key = (id(member), 0) if alone else (id(member.batches), len(member.epochs))
            groups.setdefault(key, []).append(member)
        yield from groups.values()

    def _steps(self, together: list[Member]) -> list[MemberEnded]:
        """Make an epoch's steps, one of each member in turn; return those that failed."""
        failures, steps = [], {}
        try:
            self._fill(together)
        except RuntimeError as error:
            if not ran_out(error):
                raise
            reason = f"{self._device} ran out of memory while it augmented an epoch; train fewer at a time"
            return [self._leave(member, "failed", reason) for member in together]
        for member in together:
            assert member.run is not None
            assert member.batches is not None
            steps[member.key] = member.run.steps(member.batches)
        left = list(together)
        while left:
            for member in list(left):
                done = self._attempt(member, lambda each: next(steps[each.key], True))
                if isinstance(done, MemberEnded):
                    failures.append(done)
                if done is not None:
                    left.remove(member)
        return failures

    def _fill(self, together: list[Member]) -> None:
        """Bring in the epoch that members share, between their last steps and their next ones."""
        batches = together[0].batches
        if self._device.type == "cuda" and isinstance(batches, Pool):
            present = torch.cuda.current_stream(self._device)
            for member in self._members.values():
                present.wait_stream(member.stream)
            batches.fill(len(together[0].epochs) + 1)
            for member in together:
                member.stream.wait_stream(present)

    def _close_epoch(self, member: Member) -> list[EpochEnded | MemberEnded]:
        ended = self._attempt(member, self._judge)
        if isinstance(ended, MemberEnded):
            return [ended]
        left = [self._leave(member, "complete")] if len(member.epochs) == member.recipe.epochs else []
        return [ended, *left]

    def _judge(self, member: Member) -> EpochEnded:
        assert member.run is not None
        record = member.run.close_epoch(self._validation)
        judged = member.run.judged
        member.losses = None if judged is None else judged.losses
        return EpochEnded(member.key, record, member.losses)

    def _attempt(self, member: Member, work: Callable[[Member], T]) -> T | MemberEnded:
        """Do something with a member; where it fails, it leaves."""
        try:
            with self._on(member):
                return work(member)
        except Exception as error:  # whatever is wrong with one network leaves the others alone
            if self._device.type == "cuda" and not ran_out(error):
                self._refuse_broken(error)
            line = " ".join(str(error).split()) or type(error).__name__
            return self._leave(member, "failed", line)

    def _refuse_broken(self, error: Exception) -> None:
        try:
            torch.cuda.synchronize()
        except RuntimeError as broken:
            raise GangBrokenError(
                f"the GPU's context broke ({' '.join(str(error).split())[:200]}); its networks have to be "
                "trained again one by one, in a process each",
                self.running,
            ) from broken

    def _leave(self, member: Member, state: str, reason: str | None = None) -> MemberEnded:
        del self._members[member.key]
        ended = member.ended(state, reason)
        with self._on(member):
            if member.run is not None and state != "failed":
                member.run.finish()
        member.stack.close()
        if member.stream is not None:
            torch.cuda.current_stream(self._device).wait_stream(member.stream)
        member.run = None  # and with it the recording, and the memory that it computes in
        return ended

    def _stream(self, model: nn.Module) -> Any:
        """Return a stream of the member's own; those that draw numbers share one.

        Recordings read the seed of torch's generator from one place in memory: two at the same time would
        read each other's.
        """
        if self._device.type != "cuda":
            return None
        if not draws(model):
            return torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        if self._common is None:
            self._common = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        return self._common

    def _on(self, member: Member) -> AbstractContextManager[Any]:
        """Return the context in which a member's work is launched."""
        if member.stream is None:
            return nullcontext()
        return torch.cuda.stream(member.stream)
