"""What can go wrong in an export: one more leaf of streamclf's tree."""

from __future__ import annotations

from streamclf.core.errors import StreamclfError


class ExportError(StreamclfError):
    """The model file cannot be made as it should be; nothing was written."""
