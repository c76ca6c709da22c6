"""A worker on Ray: a process of its own that opens the model once and then hears items."""

from __future__ import annotations

import os
import platform
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from streamclf.archive.run_item import ItemReport
from streamclf.core.errors import StreamclfError
from streamclf.core.redaction import mask_text, one_line


class ItemRunner(Protocol):
    """What hears items and puts their results, such as `streamclf.archive.run_item.Runner`.

    Attributes:
        run: Hash of model and settings, which is in the names of its results.
    """

    run: str

    def run_item(self, item: Any) -> ItemReport:
        """Hear an item, and put its results."""
        ...

    def stop(self) -> None:
        """End `run_item` soon; called from another thread."""
        ...


@dataclass(frozen=True)
class Begun:
    """A worker has opened the model.

    Attributes:
        host: Name of its host.
        run: Hash of model and settings, which is in the names of its results.
        resident_bytes: Memory that it takes.
    """

    host: str
    run: str
    resident_bytes: int


@dataclass(frozen=True)
class Ended:
    """A worker has done with an item.

    Attributes:
        report: What its runner says; None where that failed.
        reason: Why it failed.
        resident_bytes: Memory that the worker takes.
        peak_bytes: The most that it has taken.
    """

    report: ItemReport | None
    reason: str
    resident_bytes: int
    peak_bytes: int


class Worker:
    """What lives in an actor: an open model, and what hears items with it.

    Args:
        open_runner: Opens the model.
    """

    def __init__(self, open_runner: Callable[[], ItemRunner]) -> None:
        self._open = open_runner
        self._runner: ItemRunner | None = None
        self._stopped = False

    def begin(self) -> Begun:
        """Open the model.

        Raises:
            StreamclfError: It cannot be opened, or the places cannot be reached.
        """
        self._runner = self._open()
        if self._stopped:
            self._runner.stop()
        return Begun(platform.node(), self._runner.run, resident_bytes())

    def run(self, item: Any) -> Ended:
        """Hear an item; what fails is told and not raised."""
        assert self._runner is not None
        report, reason = None, ""
        try:
            report = self._runner.run_item(item)
        except StreamclfError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001, RUF100 - an item's failure is its own
            reason = f"{type(error).__name__}: {error}"
            print(mask_text(traceback.format_exc()), file=sys.stderr)  # Ray keeps it in its log
        return Ended(report, one_line(mask_text(reason)), resident_bytes(), peak_bytes())

    def stop(self) -> None:
        """Let what is heard end soon, and nothing more be heard."""
        self._stopped = True
        if self._runner is not None:
            self._runner.stop()


def resident_bytes() -> int:
    """Memory of this process, in bytes; the most it has taken where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak_bytes()
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int:
    """The most memory that this process has taken, in bytes; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
