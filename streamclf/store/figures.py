"""Figures of a store that is written, for whoever watches the process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FolderFigures:
    """Clips of one folder.

    Attributes:
        folder: The folder.
        used_bytes: Bytes of its clips, as of the last sweep and what was written since.
        limit_bytes: What they may take; None for no limit.
        n_deleted: Clips that sweeps deleted, by cause: ``age``, ``limit``.
    """

    folder: Path
    used_bytes: int
    limit_bytes: int | None
    n_deleted: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """A store since the process began to write it.

    Attributes:
        n_written: Rows written or changed.
        n_waiting: Begins, ends and gaps that wait to be written.
        n_lost: Begins, ends and gaps that are lost.
        n_failures: Tries to write that failed.
        is_written: Whether the last try succeeded.
        folders: Folders of clips that it looks after.
    """

    n_written: int
    n_waiting: int
    n_lost: int
    n_failures: int
    is_written: bool
    folders: Sequence[FolderFigures] = ()
