"""What all pages share: where the store is, what sounds now, how the process fares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from aiohttp import web

from streamclf import __version__
from streamclf.model.options import ModelOptions
from streamclf.notify.rules import Rule
from streamclf.runs.backtester import Backtester
from streamclf.runs.figures import ProcessFigures
from streamclf.runs.teacher import Teacher
from streamclf.web.options import PageOptions


@dataclass(frozen=True)
class WebContext:
    """What all pages share.

    Attributes:
        store: The store that the pages ask.
        options: Who may see the pages, and by which names.
        keys: File of the password and of the sessions' secret; None for no password, and for a
            secret that lasts as long as the process.
        hub: What sounds now; None where nothing is heard by this process.
        health: Describes how the process fares: plain values that JSON can hold.
        version: Version of streamclf.
        figures: Figures of the process, for programs that watch it.
        is_alive: Whether all that listens gives signs of life.
        models: Tells the models that listen; none where nothing that is taught would last.
        rules: Tells the rules of the settings.
    """

    store: Path
    options: PageOptions = field(default_factory=PageOptions)
    keys: Path | None = None
    hub: Any = None
    health: Callable[[], dict[str, Any]] = dict
    version: str = __version__
    figures: Callable[[], ProcessFigures] = ProcessFigures
    is_alive: Callable[[], bool] = lambda: True
    models: Callable[[], Sequence[ModelOptions]] = tuple
    rules: Callable[[], Sequence[Rule]] = tuple

    @cached_property
    def teacher(self) -> Teacher:
        """The teacher of sounds."""
        return Teacher(self.store, self.models)

    @cached_property
    def backtester(self) -> Backtester:
        """What tries thresholds and rules on the past."""
        return Backtester(self.store, self.teacher.known, self.rules)


CONTEXT: web.AppKey[WebContext] = web.AppKey("context", WebContext)
"""Key of the context in the application."""
