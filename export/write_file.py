"""Writing a model file completely, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from export.errors import ExportError


def write_model(path: Path, content: bytes) -> None:
    """Write a file beside its place, and rename it when complete.

    Raises:
        ExportError: It cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise ExportError(f"{path}: cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
