"""What train.py does once its flags are read; the rest of `training` knows nothing of it."""

from __future__ import annotations

from records.flags import Parsed
from records.terminal import make_console
from training.command.options import Options


def perform(parsed: Parsed) -> None:
    """Do what the flags ask for.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM.
        UserError: It cannot be done; SpecError, RfcalcError and OSError likewise.
    """
    options: Options = parsed.options
    console = make_console()
    if options.evaluate:
        from training.command.judge import judge

        judge(options, parsed.given, console)
    elif options.predict:
        from training.command.predict import predict

        predict(options, console)
    elif options.list_presets:
        from training.command.listing import presets_table

        console.print(presets_table())
    elif options.print_recipe:
        from training.command.listing import recipe_text

        console.print(recipe_text(options), markup=False, highlight=False, soft_wrap=True)
    elif options.show_augmentation:
        from training.command.sheet import show_augmentation

        show_augmentation(options, console)
    else:
        from training.command.run import train

        train(options, parsed, console)
