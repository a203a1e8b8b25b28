"""How a command is stopped."""

import os
import signal
import threading

import pytest

from records.stopping import Stop, Stopped, stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_ends(number: signal.Signals) -> None:
    with stopping() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        stop.check()
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopped):  # an exception out of the handler may have been lost
            stop.check()


def test_an_insistent_signal_ends_at_once() -> None:
    with stopping(insistent=(signal.SIGTERM,)) as stop, pytest.raises(Stopped):
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.asked
    assert stop.now


def test_where_nothing_can_be_saved_the_first_signal_ends() -> None:
    with stopping(patient=False) as stop:
        with stop.patiently():
            os.kill(os.getpid(), signal.SIGINT)
        assert stop()
    with stopping(patient=False), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_the_handlers_from_before_come_back() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(each) for each in numbers]
    with stopping():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(each) for each in numbers] == before


def test_another_thread_is_never_signalled() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work() -> None:
        with stopping() as stop:
            seen.extend((stop(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, before]


def test_a_fresh_stop_stops_nothing() -> None:
    Stop().check()
