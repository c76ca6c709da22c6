"""What a live source waits with: back-off, a sleep that can be ended, calls with a deadline."""

from __future__ import annotations

import signal
import threading

import pytest

from streamclf.sources.backoff import BackOff
from streamclf.sources.clock import StopSignal, SystemClock
from streamclf.sources.microphone.call_thread import CallThread
from streamclf.sources.simulated.fake_backend import FakeClock


def test_backoff_doubles_and_begins_again() -> None:
    back_off = BackOff(1, 5)
    assert [back_off.next_s() for _ in range(5)] == [1, 2, 4, 5, 5]
    back_off.reset()
    assert back_off.next_s() == 1


def test_stop_signal_ends_a_sleep_from_a_signal_handler() -> None:
    stop = StopSignal(SystemClock())
    previous = signal.signal(signal.SIGUSR1, lambda *_: stop.set())
    try:
        main = threading.main_thread().ident
        assert main is not None
        threading.Thread(target=signal.pthread_kill, args=(main, signal.SIGUSR1)).start()
        assert stop.sleep(60)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert stop.sleep(60)


def test_stop_signal_sleep_lasts_as_long_as_asked() -> None:
    clock = FakeClock()
    assert not StopSignal(clock).sleep(3)
    assert clock.now() == 3


def test_serial_thread_returns_and_raises_what_the_call_does() -> None:
    calls = CallThread(SystemClock())
    assert calls.call(lambda: threading.current_thread().name, 10) == "audio system"
    with pytest.raises(ZeroDivisionError):
        calls.call(lambda: 1 // 0, 10)
    assert calls.close(lambda: None, 10)


def test_serial_thread_refuses_calls_while_one_hangs_then_goes_on() -> None:
    calls = CallThread(SystemClock())
    release = threading.Event()
    with pytest.raises(TimeoutError):
        calls.call(release.wait, 0.01)
    done: list[int] = []
    with pytest.raises(TimeoutError):
        calls.call(lambda: done.append(1), 0.01)
    closed = threading.Event()
    assert not calls.close(closed.set, 0.01)
    release.set()
    assert closed.wait(60)  # what was given up does not stay open
    assert done == []


def test_serial_thread_that_comes_back_is_used_again() -> None:
    calls = CallThread(SystemClock())
    release = threading.Event()
    with pytest.raises(TimeoutError):
        calls.call(release.wait, 0.01)
    release.set()
    assert calls.call(lambda: 7, 10) == 7
    assert calls.close(lambda: None, 10)


def test_serial_thread_interrupt_ends_a_wait() -> None:
    calls = CallThread(SystemClock())
    started, release = threading.Event(), threading.Event()

    def hang() -> None:
        started.set()
        release.wait()

    def interrupt() -> None:
        started.wait()
        calls.interrupt()

    threading.Thread(target=interrupt).start()
    with pytest.raises(TimeoutError):
        calls.call(hang, 60)
    release.set()
    assert calls.close(lambda: None, 10)
