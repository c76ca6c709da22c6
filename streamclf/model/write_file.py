"""Writing of a model file: completely, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from streamclf.core.errors import ModelError


def write_model(path: Path, content: bytes) -> None:
    """Write a file beside its place, and rename it when it is complete.

    Args:
        path: The file; what is there stays if this fails.
        content: The bytes of the model.

    Raises:
        ModelError: It cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ModelError(f"{path}: cannot be written: {reason}") from error
    finally:
        partial.unlink(missing_ok=True)
