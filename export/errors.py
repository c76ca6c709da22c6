"""The exception of export, a leaf of streamclf's exception tree."""

from __future__ import annotations

from streamclf.core.errors import StreamclfError


class ExportError(StreamclfError):
    """The model file cannot be made as it should be; nothing was written."""
