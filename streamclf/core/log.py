"""The log: one line a message on standard error, as text or JSON."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, TypeAlias

import msgspec

from streamclf.core.options import option
from streamclf.core.redaction import mask_text, one_line
from streamclf.core.standard_streams import is_closed

LogFormat: TypeAlias = Literal["text", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]

LOGGER = logging.getLogger("streamclf")
_AS_TEXT = ("utf-8", "backslashreplace")
_PREFIXES = {"warning: ": logging.WARNING, "error: ": logging.ERROR}


def _message(record: logging.LogRecord) -> str:
    """Return the message as one line, without passwords and without control characters."""
    return one_line(mask_text(record.getMessage().strip()))


class _TextFormatter(logging.Formatter):
    """Format for people: ``streamclf: warning: ...``."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = next((text for text, level in _PREFIXES.items() if level == record.levelno), "")
        return f"streamclf: {prefix}{_message(record)}"


class _JsonFormatter(logging.Formatter):
    """Format for machines: one JSON object a line; ``time`` is ISO 8601 with UTC offset."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone()
        fields = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            # File names may hold bytes that are not valid text.
            "message": _message(record).encode(*_AS_TEXT).decode(),
        }
        return msgspec.json.encode(fields).decode()


_FORMATTERS: dict[LogFormat, type[logging.Formatter]] = {
    "text": _TextFormatter,
    "json": _JsonFormatter,
}


class LineHandler(logging.Handler):
    """Log handler that writes each message as one line.

    Attributes:
        write: Function that takes the line with its line break; None for standard error.
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


@dataclass(frozen=True)
class LogOptions:
    """Options for the messages on standard error.

    Attributes:
        format: ``text`` for people, ``json`` for machines.
        level: Lowest level that is logged.
        quiet: Log nothing below a warning, whatever the level.
    """

    panel: ClassVar[str] = "Logging"

    format: LogFormat = option(
        "text", "--log-format", help="Form of the messages on standard error."
    )
    level: LogLevel = option(
        "info", "--log-level", help="Lowest level of the messages on standard error."
    )
    quiet: bool = option(False, "--quiet", "-q", help="Say nothing but warnings and errors.")


def set_up(options: LogOptions = LogOptions()) -> None:
    """Set the format and the lowest level of the log; each command calls it first."""
    HANDLER.setFormatter(_FORMATTERS[options.format]())
    HANDLER.write = None
    LOGGER.handlers = [HANDLER]
    LOGGER.propagate = False
    level = logging.getLevelName(options.level.upper())
    LOGGER.setLevel(max(level, logging.WARNING) if options.quiet else level)


def logs_progress() -> bool:
    """Whether messages below warnings are logged."""
    return LOGGER.isEnabledFor(logging.INFO)


def say(message: str) -> None:
    """Log a message; it is of level info unless it begins with ``warning:`` or ``error:``."""
    for prefix, level in _PREFIXES.items():
        if message.startswith(prefix):
            LOGGER.log(level, "%s", message.removeprefix(prefix))
            return
    LOGGER.info("%s", message)


set_up()
