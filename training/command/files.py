"""Files that flags name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from records.text import reason
from training.errors import TrainingError


def read_json(path: Path, flag: str) -> Any:
    """Return the parsed JSON of `path`.

    Raises:
        TrainingError: It cannot be read; the text names `flag` and the file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"{flag} {path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise TrainingError(f"{flag} {path}: is not JSON ({reason(error)})") from error
