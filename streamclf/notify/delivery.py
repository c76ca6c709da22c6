"""Delivery of messages to one target, in order, in a thread of its own.

A target that hangs or fails holds up nothing but its own queue. Messages wait there and in the
store, the first is tried again and again with growing pauses, and what grows too old is given up.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from streamclf.core.text_format import format_count, format_length
from streamclf.notify.messages import Message
from streamclf.notify.outbox import LIMIT_WAITING, State
from streamclf.notify.targets.base import DeliveryError, Target
from streamclf.notify.targets.options import Kind, TargetOptions
from streamclf.sources.backoff import BackOff

PAUSES_S: dict[Kind, tuple[float, float]] = {
    "webhook": (1.0, 300.0),
    "apprise": (2.0, 300.0),
    "exec": (2.0, 15.0),
}
"""First and longest pause, in seconds, before a message is tried again."""
JITTER = 0.2
"""Share by which a pause is varied, so that not all boxes come back at once."""
TELL_EVERY_S = 600.0
"""Seconds between two lines of the log about the same trouble."""


class Settle(Protocol):
    """Notes how a delivery ended, see `streamclf.notify.outbox.Outbox.settle`."""

    def __call__(
        self, token: str, target: str, state: State, tries: int, reason: str | None
    ) -> None:
        """Note it soon, without waiting."""
        ...


@dataclass
class _Waiting:
    """A message that waits.

    Attributes:
        message: The message.
        told_at: When it was told, in seconds of the monotonic clock.
        tries: How often it was tried.
        reason: Why the last try failed.
    """

    message: Message
    told_at: float
    tries: int = 0
    reason: str | None = None


class Delivery:
    """Queue of one target, and the thread that empties it.

    Args:
        options: Options of the target.
        target: The target, which this closes.
        settle: Called when a message was delivered or is given up.
        report: Called with one line about failures and recoveries, from the thread.
        find_clip: Returns the audio of a message's event, waiting for it a little if it is sure to
            come; None where there is none.
        now: Returns monotonic seconds.

    Attributes:
        name: Name of the target.
    """

    def __init__(
        self,
        options: TargetOptions,
        target: Target,
        *,
        settle: Settle,
        report: Callable[[str], None],
        find_clip: Callable[[Message], Path | None] = lambda message: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = options.name
        self._options, self._target = options, target
        self._settle, self._report, self._now = settle, report, now
        self._find_clip = find_clip
        self._queue: deque[_Waiting] = deque()
        self._current: _Waiting | None = None
        self._back_off = self._make_back_off()
        self._retry_at = 0.0
        self._n_sent = self._n_failed = self._n_lost = self._n_lost_told = 0
        self._sent_at: datetime | None = None
        self._trouble = ""
        self._told: dict[str, float] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(
            target=self._work, name=f"streamclf-to-{self.name}", daemon=True
        )

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def put(self, message: Message, age_s: float = 0.0) -> None:
        """Deliver a message after those before it; safe to call from any thread, never waits.

        Args:
            message: The message.
            age_s: How long ago it was told, in seconds.
        """
        with self._changed:
            if self._stopped:
                return
            if len(self._queue) >= LIMIT_WAITING:
                lost = self._queue.popleft()
                self._n_lost += 1
                self._note(lost, "failed", "too many waited")
            self._queue.append(_Waiting(message, self._now() - age_s))
            self._changed.notify_all()

    def replace(self, options: TargetOptions, target: Target) -> None:
        """Deliver what waits, and what follows, to a target of new settings, and soon.

        A try that goes on is not disturbed; the target before is closed after it.
        """
        with self._changed:
            before, self._target, self._options = self._target, target, options
            self._back_off, self._retry_at = self._make_back_off(), 0.0
            is_idle = self._current is None
            self._changed.notify_all()
        if is_idle:
            before.close()

    def stop(self) -> None:
        """Let the thread end; what waits stays in the store. Does not wait."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def give_up(self, reason: str) -> None:
        """Stop, and give up what waits."""
        with self._changed:
            self._stopped = True
            while self._queue:
                self._n_failed += 1
                self._note(self._queue.popleft(), "failed", reason)
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Wait until nothing waits that is not tried again later; returns whether that is so."""
        with self._changed:
            return self._changed.wait_for(
                lambda: (not self._queue and self._current is None) or self._retry_at > self._now(),
                timeout_s,
            )

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end; a target that hangs is left behind."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        self._target.close()

    def describe(self) -> dict[str, Any]:
        """Describe how it fares, in plain values that JSON can hold."""
        with self._changed:
            return {
                "name": self.name,
                "kind": self._options.kind,
                "where": self._target.description,
                "state": "failing" if self._trouble else "fine",
                "trouble": self._trouble,
                "waiting": len(self._queue) + (self._current is not None),
                "n_sent": self._n_sent,
                "n_failed": self._n_failed,
                "n_lost": self._n_lost,
                "last_sent": self._sent_at and self._sent_at.isoformat(timespec="seconds"),
            }

    def _make_back_off(self) -> BackOff:
        return BackOff(*PAUSES_S[self._options.kind])

    def _note(self, waiting: _Waiting, state: State, reason: str | None) -> None:
        self._settle(waiting.message.token, self.name, state, waiting.tries, reason)

    # The methods below run in the thread.

    def _work(self) -> None:
        while True:
            with self._changed:
                if self._stopped:
                    return
                n_old, why = self._drop_old()
                n_lost = self._n_lost - self._n_lost_told
                waiting = self._take() if not n_old else None
                target = self._target
            if n_old:
                self._tell_given_up(n_old, why)
            elif waiting is None:
                with self._changed:
                    self._await()
            else:
                if n_lost:
                    self._tell_lost(n_lost)
                self._deliver(target, waiting)

    def _take(self) -> _Waiting | None:
        """Take the next message, if its time has come."""
        if not self._queue or self._now() < self._retry_at:
            return None
        self._current = self._queue.popleft()
        return self._current

    def _await(self) -> None:
        """Wait until there is something to do."""
        if self._stopped:
            return
        if not self._queue:
            self._changed.wait()
            return
        until = min(self._retry_at, self._queue[0].told_at + self._options.max_age_s)
        if (pause_s := until - self._now()) > 0:
            self._changed.wait(pause_s)

    def _drop_old(self) -> tuple[int, str | None]:
        """Give up the messages that have become too old; returns how many, and why the last."""
        oldest, n_old, why = self._now() - self._options.max_age_s, 0, None
        while self._queue and self._queue[0].told_at <= oldest:
            gone = self._queue.popleft()
            why = gone.reason or why
            n_old += 1
            self._n_failed += 1
            self._note(gone, "failed", gone.reason or "it waited too long")
        return n_old, why

    def _deliver(self, target: Target, waiting: _Waiting) -> None:
        waiting.tries += 1
        error: DeliveryError | None = None
        try:
            clip = self._find_clip(waiting.message) if target.takes_clips else None
            target.send(waiting.message, clip)
        except DeliveryError as raised:
            error = raised
        except Exception as raised:  # any error: the thread must go on
            error = DeliveryError(
                f"a mistake in streamclf itself: {type(raised).__name__}: {raised}", lasting=True
            )
        with self._changed:
            self._current = None
            is_replaced = target is not self._target
            if error is None:
                self._note(waiting, "sent", None)
                self._n_sent += 1
                self._sent_at = datetime.now().astimezone()
                self._retry_at = 0.0
                self._back_off.reset()
                recovered, self._trouble = bool(self._trouble), ""
            else:
                self._fail(waiting, target, error)
            n_waiting, stopped = len(self._queue), self._stopped
            self._changed.notify_all()
        if is_replaced:
            target.close()
        if stopped:  # a command that was ended with this process has not failed
            return
        if error is not None:
            self._tell_failure(waiting, error)
        elif recovered:
            self._told.clear()
            more = f", {format_count(n_waiting, 'message')} wait" if n_waiting else ""
            self._report(f"target {self.name}: delivers again{more}")

    def _fail(self, waiting: _Waiting, target: Target, error: DeliveryError) -> None:
        """Keep a message for another try, or give it up."""
        if self._stopped:  # it stays in the store as one that waits
            self._queue.appendleft(waiting)
            return
        waiting.reason = self._trouble = str(error)
        if error.lasting:
            self._n_failed += 1
            self._note(waiting, "failed", str(error))
            return
        self._queue.appendleft(waiting)
        if target is not self._target:  # new settings have come meanwhile
            return
        pause_s = self._back_off.next_s() * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
        self._retry_at = self._now() + max(pause_s, error.after_s or 0.0)

    def _tell_failure(self, waiting: _Waiting, error: DeliveryError) -> None:
        message = waiting.message
        if error.lasting:
            what = f"the message of rule {message.rule} is given up"
        else:
            what = f"it is tried again for up to {format_length(self._options.max_age_s)}"
        self._tell(str(error), f"warning: target {self.name}: {error}; {what}")

    def _tell_given_up(self, n_old: int, why: str | None) -> None:
        age = format_length(self._options.max_age_s)
        self._tell(
            "old",
            f"warning: target {self.name}: {format_count(n_old, 'message')} given up after {age}"
            + (f": {why}" if why else ""),
        )

    def _tell_lost(self, n_lost: int) -> None:
        if self._tell(
            "lost",
            f"warning: target {self.name}: more than {LIMIT_WAITING} messages waited; the oldest "
            f"{n_lost} are lost",
        ):
            self._n_lost_told += n_lost

    def _tell(self, kind: str, line: str) -> bool:
        """Tell a line, unless one of its kind was told a while ago; returns whether it was told."""
        now = self._now()
        if now - self._told.get(kind, -TELL_EVERY_S) < TELL_EVERY_S:
            return False
        if len(self._told) > 100:  # of a target that fails in ever new words
            self._told.clear()
        self._told[kind] = now
        self._report(line)
        return True
