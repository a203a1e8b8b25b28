"""What train.py does once its flags are read; the rest of `training` knows nothing of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.console import Console


def perform(options: argparse.Namespace, words: Sequence[str], console: Console) -> None:
    """Do what the flags ask for.

    Args:
        options: The parsed flags.
        words: As they were typed.
        console: Where to talk.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM.
        TrainingError: It cannot be done; SpecError, RecordError, RfcalcError and OSError likewise.
    """
    if options.evaluate:
        from training.command.judge import judge

        judge(options, console)
    elif options.predict:
        from training.command.predict import predict

        predict(options, console)
    elif options.show_augmentation:
        from training.command.sheet import show_augmentation

        show_augmentation(options, console)
    else:
        from training.command.run import train

        train(options, words, console)
