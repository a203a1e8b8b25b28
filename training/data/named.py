"""What a data set must bring to be known by name: `--data cifar10`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from training.data.cache import Content


@dataclass(frozen=True)
class Named:
    """A data set that `--data` takes by its name; `training.data.registry.NAMED` lists them."""

    name: str
    """One word, in lower case."""
    title: str
    """What tables and reports print."""
    size: int
    """Height and width of its images."""
    content: Callable[[Path, Console], Content]
    """Reads it, given the folder of downloads and where progress is shown."""
    archive: str | None = None
    """Name of the file that a user without a network may put into the folder of downloads."""
    version: int | None = None
    """Part of the cache's key where pixels can change: raise it when one does."""

    def key(self, form: int) -> str:
        """Return the name of its folder in the cache; `form` is the version of the cache's own format."""
        return f"{self.name}-{form}" if self.version is None else f"{self.name}-{form}.{self.version}"
