"""How a search is stopped."""

import os
import signal

import pytest

from search.session.stop import Brake, Stopped, brake


def test_ctrl_c_once_only_asks() -> None:
    with brake() as pulled:
        assert not pulled.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert pulled.requested
        pulled.check()


def test_ctrl_c_twice_stops_now() -> None:
    with brake() as pulled:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopped):  # an exception out of the handler may have been lost
            pulled.check()


def test_sigterm_stops_now() -> None:
    with brake() as pulled, pytest.raises(Stopped):
        os.kill(os.getpid(), signal.SIGTERM)
    assert pulled.requested
    assert pulled.now


def test_the_handlers_from_before_come_back() -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with brake():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_fresh_brake_stops_nothing() -> None:
    Brake().check()
