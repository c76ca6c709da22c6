"""The hash of a model's file, by which results of one model are told from those of another."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from streamclf.core.records import ModelIdentity


@lru_cache(maxsize=32)
def hash_model(model: ModelIdentity) -> str:
    """Return the SHA-256 of a model's file; of its name and version where there is no file."""
    try:
        with Path(model.file).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return hashlib.sha256(f"{model.name}\0{model.version}".encode()).hexdigest()
