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

import sys

from records.program import run
from training.command.options import parse
from training.fit.process import prepare


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 2 it could not be done, 130 stopped."""
    parsed = parse(sys.argv[1:] if arguments is None else arguments)
    prepare()
    # Some seconds of imports: only now, when the flags are known to be sound.
    from models.errors import SpecError
    from rfcalc import RfcalcError
    from training.command.perform import perform

    return run(
        "train.py", lambda: perform(parsed), known=(SpecError, RfcalcError), debug=parsed.options.debug
    )


if __name__ == "__main__":
    sys.exit(main())
