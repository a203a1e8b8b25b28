"""A process that serves: its socket, its signals, its end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import uvicorn

from records import next_steps
from records.stopping import stopping
from serve.app import create_app
from serve.errors import ServeError
from serve.model import Model
from serve.service import Service, Settings

DRAIN = 4
"""Seconds in which requests that were accepted are answered after SIGTERM."""
END = 4.8
"""Seconds after SIGTERM at which the process ends whatever still holds it, such as the look-up of a name."""
BACKLOG = 1024


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        ServeError: The port is in use, or the host is none of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        made = socket.create_server((host, port), family=family, backlog=BACKLOG)
        # asyncio turns Nagle's algorithm off only where a socket names its protocol, and create_server's does
        # not. With it, each answer waits 40 milliseconds for the client's acknowledgement of its headers.
        return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=made.detach())
    except OSError as error:
        reason = error.strerror or str(error)
        raise ServeError(
            f"--host {host} --port {port}: cannot be listened on ({reason}); choose another --port"
        ) from error


def serve(listening: socket.socket, load: Callable[[], Model], settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        listening: The socket.
        load: Loads the model; called now, and after each SIGHUP.
        settings: How it answers.

    Raises:
        UserError: There is no model to serve.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    # For so long a decoding thread may keep the loop from Python: 5 milliseconds, again and again, add up.
    sys.setswitchinterval(0.001)
    model = load()
    # The workers are the threads; with more of them inside each answer they only wait for one another.
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)
    with stopping():
        asyncio.run(_run(listening, Service(model, load, settings)))


async def _run(listening: socket.socket, service: Service) -> None:
    config = uvicorn.Config(
        create_app(service, _started(listening)),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # a stranger could choose the address that is logged
        ws="none",
        http="h11",
        backlog=BACKLOG,
        timeout_keep_alive=5,
        # Without it, a stop waits for open connections without end (uvicorn #451).
        timeout_graceful_shutdown=DRAIN,
    )
    await _Server(config).serve(sockets=[listening])


class _Server(uvicorn.Server):
    """Ends the process soon after it was asked to."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain, and set the end."""
        if not self.should_exit:
            timer = threading.Timer(END, os._exit, (0,))
            timer.daemon = True
            timer.start()
        super().handle_exit(sig, frame)


def _started(listening: socket.socket) -> Callable[[Service], None]:
    def started(service: Service) -> None:
        loop = asyncio.get_running_loop()
        reloads: set[asyncio.Task[bool]] = set()  # the loop itself keeps no reference to a task

        def reload() -> None:
            task = loop.create_task(service.reload())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        with suppress(NotImplementedError, AttributeError):  # Windows has neither
            loop.add_signal_handler(signal.SIGHUP, reload)
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        trained = service.model.trained
        sys.stdout.write(
            f"{trained.name} ({len(trained.classes)} classes, {service.model.engine.name}) answers at "
            f"http://{shown}:{port}\n{next_steps.shown(next_steps.after_start(f'http://{shown}:{port}'))}\n"
        )
        sys.stdout.flush()

    return started
