"""`python -m serve RUN`: a trained network answers over HTTP."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from records.errors import tell
from records.flags import Command, Parsed, Program, argument, flag, natural, positive, switch
from records.program import run


@dataclass(frozen=True)
class ServeOptions:
    """What `python -m serve` is asked for."""

    run: Path = argument("runs/train/NAME, runs/search/NAME or best.safetensors", metavar="RUN")
    port: int = flag("port to listen on; 0: any that is free", default=8123, read=natural, metavar="N")
    host: str = flag("address to listen on; 0.0.0.0: every one", default="127.0.0.1", metavar="ADDRESS")
    allow_host: tuple[str, ...] = flag(
        "name that clients may use in the Host header; may be repeated",
        default=(),
        repeated=True,
        metavar="NAME",
    )
    model: str | None = flag("the network where the weights have no spec: model.py:Name", metavar="TARGET")
    url: bool = switch("fetch no addresses: uploads alone", word="--no-url", group="addresses")
    allow_url: tuple[str, ...] = flag(
        "fetch from there alone, such as 'https://*.example.com/*'; may be repeated",
        default=(),
        repeated=True,
        metavar="PATTERN",
        group="addresses",
    )
    allow_private: bool = switch(
        "fetch from private addresses and any port, too: for a laboratory", group="addresses"
    )
    explain: bool = switch(
        "compute no occlusion, which costs 64 answers", word="--no-explain", group="answers"
    )
    workers: int = flag("threads that answer", default=2, read=positive, metavar="N", group="answers")
    queue: int = flag(
        "requests at the same time; one more is answered with 503",
        default=128,
        read=positive,
        metavar="N",
        group="answers",
    )
    debug: bool = switch("show the traceback of an error")


def _wrong(parsed: Parsed) -> str | None:
    options: ServeOptions = parsed.options
    if options.port > 65_535:
        return f"--port {options.port}: at most 65535"
    return None


PROGRAM = Program(
    "serve",
    {"": Command(ServeOptions, "Answer what is on a picture, over HTTP.", check=_wrong)},
    prog="python -m serve",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 stopped by SIGTERM or Ctrl-C, 2 it cannot serve."""
    parsed = PROGRAM.parse(sys.argv[1:] if arguments is None else arguments)
    try:
        import fastapi  # noqa: F401
        import httpcore2  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        return tell("serve", f'{error.name} is not installed; install it with pip install -e ".[app,serve]"')
    # torch takes seconds to import: only now, when the arguments are known to be sound.
    from models.errors import SpecError
    from rfcalc import RfcalcError

    return run(
        "serve", lambda: _perform(parsed.options), known=(SpecError, RfcalcError), debug=parsed.options.debug
    )


def _perform(options: ServeOptions) -> None:
    from serve.fetch import Pattern
    from serve.model import load
    from serve.server import bind, serve
    from serve.service import Settings

    settings = Settings(
        fetches=options.url,
        patterns=tuple(map(Pattern.read, options.allow_url)),
        allow_private=options.allow_private,
        explains=options.explain,
        queue=options.queue,
        workers=options.workers,
        hosts=(*options.allow_host, options.host),
    )
    # First, since it fails at once where the weights take seconds.
    with bind(options.host, options.port) as listening:
        serve(listening, lambda: load(options.run, options.model, apart=True), settings)


if __name__ == "__main__":
    code = main()
    with suppress(OSError, ValueError):  # the reader of the output may have gone
        sys.stdout.flush()
        sys.stderr.flush()
    # Everything is answered and closed. Python would wait for threads that still compute, and then take
    # seconds to give torch back.
    os._exit(code)
