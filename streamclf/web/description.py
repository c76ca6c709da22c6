"""Everything that programs may ask the pages for, for OpenAPI."""

from __future__ import annotations

from typing import Any

from streamclf.web import api, backtest_api, records, teach_api
from streamclf.web.openapi import Operation, Parameter, describe

JSON = "application/json"
EVENTS = "text/event-stream"

OPERATIONS = (
    *api.OPERATIONS,
    *teach_api.OPERATIONS,
    *backtest_api.OPERATIONS,
    Operation("GET", "/api/live", "Stream what sounds now, as server-sent events.", EVENTS, (
        Parameter("after", "Id of the last event that is known, if there is one.",
                  {"type": "string"}),
        Parameter("of", "`health` streams how the process fares instead.",
                  {"type": "string", "enum": ["sounds", "health"]}),
    )),
    Operation("GET", "/api/sources", "Tell of each source: its level, its sounds, what is lost.",
              JSON),
    Operation("GET", "/api/health", "Tell how the process fares.", JSON),
    Operation("GET", "/api/session", "Tell whether who asks is logged in, and the token.", JSON),
    Operation("GET", "/media/live.mp3", "Play a source as it is heard. The page must have a "
              "password, and the source no `privacy`.", "audio/mpeg", (
        Parameter("source", "Name of the source.", {"type": "string"}),
    ), may_lack=True),
    Operation("GET", "/media/clips/{id}", "Play a clip, whole or in parts.", "audio/flac",
              may_lack=True),
    Operation("GET", "/media/clips/{id}/picture", "Draw a clip's frequencies over time.",
              "image/png", (
        Parameter("light", "1: for a light page.", {"type": "string", "enum": ["0", "1"]}),
    ), may_lack=True),
)  # fmt: skip
"""What programs may ask for, besides the pages for people."""


def openapi() -> dict[str, Any]:
    """Describe it as OpenAPI does."""
    return describe(OPERATIONS, str(records.SCHEMA))
