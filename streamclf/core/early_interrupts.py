"""Ctrl-C while a command imports what it needs."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from types import FrameType, ModuleType, TracebackType

from streamclf.core.errors import INTERRUPTED

_create_module = ExtensionFileLoader.create_module
_exec_module = ExtensionFileLoader.exec_module


def hide_interrupt_traceback(words: str = "") -> None:
    """Let Ctrl-C before a command handles it end the process without a traceback.

    Args:
        words: What standard error says then; empty for nothing.
    """

    def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        if words:
            print(words, file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)

    sys.excepthook = end


class HeldInterrupt:
    """Handler of SIGINT that waits for the end of an import; a second SIGINT does not wait.

    Args:
        before: The handler until then, which is called at the end if SIGINT has come.
    """

    def __init__(self, before: Callable[[int, FrameType | None], object]) -> None:
        self._before = before
        self._has_come = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Note that SIGINT has come."""
        if self._has_come:
            self._before(number, frame)
        self._has_come = True

    def release(self) -> None:
        """Put the handler back, and let it handle the SIGINT that has come."""
        now: object = signal.getsignal(signal.SIGINT)
        if now is self:
            signal.signal(signal.SIGINT, self._before)
        if self._has_come:
            self._before(signal.SIGINT, None)


_held: list[HeldInterrupt | None] = []
"""For each module of the main thread that is created and not yet executed."""


def finish_native_imports() -> None:
    """Let SIGINT wait until the module in machine code is whole that is being imported.

    Otherwise Python drops a module that is created and not executed, and one that is made with
    nanobind then crashes the process, as those of soxr and onnx are. This is for commands: the
    imports of a program that uses the package are its own.
    """
    ExtensionFileLoader.create_module = _create  # type: ignore[method-assign]
    ExtensionFileLoader.exec_module = _execute  # type: ignore[method-assign]


def _create(self: ExtensionFileLoader, spec: ModuleSpec) -> ModuleType:
    if threading.current_thread() is not threading.main_thread():
        return _create_module(self, spec)  # SIGINT is handled in the main thread alone
    before = signal.getsignal(signal.SIGINT)
    held = HeldInterrupt(before) if callable(before) else None
    if held:
        signal.signal(signal.SIGINT, held)
    try:
        module = _create_module(self, spec)
    except BaseException:
        if held:
            held.release()
        raise
    _held.append(held)
    return module


def _execute(self: ExtensionFileLoader, module: ModuleType) -> None:
    is_held = threading.current_thread() is threading.main_thread() and _held
    held = _held.pop() if is_held else None
    try:
        _exec_module(self, module)
    finally:
        if held:
            held.release()
