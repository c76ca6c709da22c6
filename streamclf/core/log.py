"""The log: standard error, a line a message, as text or JSON."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from streamclf.core.redaction import mask_text, one_line
from streamclf.core.standard_streams import is_closed

LogFormat: TypeAlias = Literal["text", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]

LOGGER = logging.getLogger("streamclf")
_AS_TEXT = ("utf-8", "backslashreplace")
_PREFIXES = {"warning: ": logging.WARNING, "error: ": logging.ERROR}


def _message(record: logging.LogRecord) -> str:
    """One line, without passwords and without what a terminal would obey."""
    return one_line(mask_text(record.getMessage().strip()))


class _TextFormatter(logging.Formatter):
    """For people: ``streamclf: warning: ...``."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = next((text for text, level in _PREFIXES.items() if level == record.levelno), "")
        return f"streamclf: {prefix}{_message(record)}"


class _JsonFormatter(logging.Formatter):
    """For machines: an object a line; ``time`` is ISO 8601 with offset."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone()
        fields = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            # File names may hold bytes that are no text.
            "message": _message(record).encode(*_AS_TEXT).decode(),
        }
        return msgspec.json.encode(fields).decode()


_FORMATTERS: dict[LogFormat, type[logging.Formatter]] = {
    "text": _TextFormatter,
    "json": _JsonFormatter,
}


class LineHandler(logging.Handler):
    """Hands each message on as one line.

    Attributes:
        write: Takes the line with its line break; None writes to standard error.
    """

    def __init__(self) -> None:
        super().__init__()
        self.write: Callable[[str], None] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        line = self.format(record) + "\n"
        if self.write is not None:
            self.write(line)
        elif not is_closed(sys.stderr):
            sys.stderr.write(line)
            sys.stderr.flush()


HANDLER = LineHandler()


def set_up(format_: LogFormat = "text", level: LogLevel = "info") -> None:
    """Say how to log and what; each command begins with it."""
    HANDLER.setFormatter(_FORMATTERS[format_]())
    HANDLER.write = None
    LOGGER.handlers = [HANDLER]
    LOGGER.propagate = False
    LOGGER.setLevel(level.upper())


def tells_progress() -> bool:
    """Whether more than warnings and errors are said."""
    return LOGGER.isEnabledFor(logging.INFO)


def say(message: str) -> None:
    """Log a message; ``warning:`` or ``error:`` in front of it say of which level it is."""
    for prefix, level in _PREFIXES.items():
        if message.startswith(prefix):
            LOGGER.log(level, "%s", message.removeprefix(prefix))
            return
    LOGGER.info("%s", message)


set_up()
