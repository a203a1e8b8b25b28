"""Train one network and keep everything that came of it.

    python train.py --data shapes --preset tiny --epochs 3
    python train.py --data cifar10 --preset residual --recipe standard --full
    python train.py --evaluate runs/train/NAME --tta
    python train.py --predict cat.png --weights runs/train/NAME

Trains on the train split alone and reports validation accuracy; `--full` trains on train and validation
together and meets the test images once. Nothing is selected on the way: the final, averaged weights are the
result.
"""

from __future__ import annotations

import io
import sys

from training.command.arguments import parse
from training.fit.process import prepare

STOPPED = 130
"""Exit code after Ctrl-C, as shells use it."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 2 it could not be done, 130 stopped."""
    words = sys.argv[1:] if arguments is None else arguments
    options = parse(words)
    prepare()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # bars and names of classes, where a terminal knows neither
    # Some seconds of imports: only now, when the flags are known to be sound.
    from rich.console import Console

    from models.errors import SpecError
    from records.codec import RecordError
    from rfcalc import RfcalcError
    from training.command.perform import perform
    from training.errors import TrainingError

    console = Console(highlight=False, soft_wrap=True, emoji=False)
    try:
        perform(options, words, console)
    except KeyboardInterrupt:
        return STOPPED
    except (TrainingError, SpecError, RecordError, RfcalcError, OSError) as error:
        if options.debug:
            raise
        errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
        errors.print(f"train.py: error: {error}", markup=False)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
