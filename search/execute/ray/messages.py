"""What crosses the line between the driver and the bridge."""

from dataclasses import dataclass

from search.execute.job import Job
from search.execute.protocol import Capacity
from search.execute.ray.actor import Greeting
from search.execute.worker import Message, Share, Work


@dataclass(frozen=True)
class BridgeRequest:
    """What a bridge is started with."""

    address: str
    cpus: int
    """Of one slot; so for `gpus`, which may be a part of one."""
    gpus: float
    share: Share
    work: Work
    silence: float
    paths: tuple[str, ...]
    """What every node must see."""


@dataclass(frozen=True)
class Open:
    """Command: make a slot of this number."""

    slot: int


@dataclass(frozen=True)
class Send:
    """Command: hand this to the worker of a slot."""

    slot: int
    message: Job | bool


@dataclass(frozen=True)
class Renew:
    """Command: end the actor of a slot, whatever it does, and start another."""

    slot: int


@dataclass(frozen=True)
class Connected(Capacity):
    """The cluster has been reached, and has this."""


@dataclass(frozen=True)
class Placed:
    """A slot has its CPUs; its process is started now."""

    slot: int


@dataclass(frozen=True)
class Ready:
    """A slot takes jobs from now on."""

    slot: int
    greeting: Greeting


@dataclass(frozen=True)
class FromWorker:
    """A message of a slot's worker; None is a sign of life of its actor."""

    slot: int
    message: Message


@dataclass(frozen=True)
class Gone:
    """The actor of a slot is dead; the slot waits for a new one."""

    slot: int
    reason: str


@dataclass(frozen=True)
class Lost:
    """Nothing can be done with the cluster; the bridge ends."""

    reason: str


Command = Open | Send | Renew
Report = Connected | Placed | Ready | FromWorker | Gone | Lost | None
"""None is a sign of life of the bridge itself."""
