"""One item of an archive, heard exactly once: its result is there whole, or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from streamclf.archive.manifest import Item
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.options import ModelOptions

Outcome: TypeAlias = Literal["done", "skipped", "failed", "stopped"]
"""``done``: heard here; ``skipped``: its result was there; ``failed``: no result was put, a later
run tries it again; ``stopped``: `Runner.stop` came first."""


@dataclass(frozen=True)
class Hearing:
    """With what an archive is heard: the model, its settings, and what is kept.

    It can be pickled, and is the same on each machine.

    Attributes:
        model: The model, whose file each worker must find under the same name.
        settings: Settings of the engine.
        thresholds: Options of the thresholds.
        scores: Whether the scores of each window are kept.
        features: Whether the features of each window are kept.
    """

    model: ModelOptions
    settings: Settings
    thresholds: ThresholdOptions
    scores: bool = False
    features: bool = False


@dataclass(frozen=True)
class ItemReport:
    """What became of an item; it can be pickled.

    Attributes:
        item: Number of the item.
        outcome: What became of it.
        planned_s: Seconds that the plan gives it.
        heard_s: Seconds of audio that were heard.
        gap_s: Seconds that are known to be missing.
        failed_s: Planned seconds of recordings that failed.
        elapsed_s: Seconds that it took here.
        n_events: Events found.
        failures: One line for each recording that failed, with its path.
        reason: Why no result was put; empty where one was.
    """

    item: int
    outcome: Outcome
    planned_s: float = 0.0
    heard_s: float = 0.0
    gap_s: float = 0.0
    failed_s: float = 0.0
    elapsed_s: float = 0.0
    n_events: int = 0
    failures: list[str] = field(default_factory=list)
    reason: str = ""


class Runner:
    """Hears items of one archive, one after the other, in one thread.

    Args:
        results: URL or path of the folder that holds the plan and gets the results.
        hearing: Model and settings.
        archive: Where the archive lies, if not where the plan says: it may be mounted elsewhere,
            or its URL may need a password.

    Attributes:
        run: Hash of model, settings and plan, which is in the names of the results.
    """

    run: str

    def __init__(self, results: str, hearing: Hearing, *, archive: str | None = None) -> None:
        raise NotImplementedError

    def run_item(self, item: Item) -> ItemReport:
        """Hear an item, unless its result is there; put its result in place whole.

        It never raises for what is wrong with a recording, an item or the network: the report says
        so. The rest of the items then goes on.

        Raises:
            StoreError: Results cannot be written at all, for a reason that lasts.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """End `run_item` soon, without a result; may be called from another thread."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the session and the connections."""
        raise NotImplementedError
