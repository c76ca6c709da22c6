"""Target behind apprise: ntfy, Telegram, mail, Matrix and many more, one URL each."""

from __future__ import annotations

import logging
import re
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from streamclf.core.errors import StreamclfError, UsageError
from streamclf.core.redaction import one_line
from streamclf.notify.messages import Message
from streamclf.notify.targets.base import DeliveryError, Target
from streamclf.notify.targets.options import TargetOptions
from streamclf.notify.targets.secrets import mask_secrets, read_lines, read_secret

if TYPE_CHECKING:
    import apprise

LONGEST_TITLE = 80
"""Characters of a title."""
SHORTEST_PART = 6
"""Characters of the shortest part of a URL that is masked."""


class AppriseTarget(Target):
    """One or several services behind apprise.

    Each service has its tries in a thread of its own, because no library can promise to come back
    in time. A message that one of them did not take is tried again there alone.

    Args:
        options: Its options.

    Raises:
        UsageError: apprise is not installed, a file or a variable of the options cannot be read, or
            apprise does not know the URL.
    """

    def __init__(self, options: TargetOptions) -> None:
        self.name = options.name
        self._timeout_s = options.timeout_s
        urls = _read_urls(options)
        self._secrets = [part for url in urls for part in _secret_parts(url)]
        self._services = _open_services(options, urls)
        self.description = ", ".join(dict.fromkeys(each.name for each in self._services))
        can_attach = any(each.takes_files for each in self._services)
        self._attach = options.attach or "clip"
        if options.attach in ("clip", "picture") and not can_attach:
            raise UsageError(
                f"attach {options.attach}: {self.description} takes no files: leave it out"
            )
        self.takes_clips = can_attach and self._attach != "none"

    def send(self, message: Message, clip: Path | None) -> None:
        """Send a message to the services that do not have it; see `Target.send`."""
        until = time.monotonic() + self._timeout_s
        for service in self._services:
            service.begin(message, self._attach, clip)
        troubles: list[tuple[str, str]] = []
        cause: Exception | None = None
        for service in self._services:
            trouble = service.settle(message, until, self._timeout_s)
            if trouble is not None:
                troubles.append((service.name, trouble))
                cause = cause or (service.attempt.error if service.attempt is not None else None)
        if troubles:
            told = [
                trouble if len(self._services) == 1 else f"{name}: {trouble}"
                for name, trouble in troubles
            ]
            raise DeliveryError(mask_secrets("; ".join(told), self._secrets)) from cause
        for service in self._services:
            service.attempt = None  # whoever sends it again means it


class _Service:
    """One service, and its newest try.

    Args:
        known: The service alone, as apprise knows it.

    Attributes:
        name: What people call it.
        takes_files: Whether it takes files.
        attempt: Its newest try; None before the first.
    """

    def __init__(self, known: apprise.Apprise) -> None:
        (it,) = known
        self.name = str(it.service_name or it.protocol)
        self.takes_files = bool(it.attachment_support)
        self.attempt: _Attempt | None = None
        self._known = known
        self._left: _Attempt | None = None

    def begin(self, message: Message, attach: str, clip: Path | None) -> None:
        """Begin a try, unless it has the message already or the try before still hangs."""
        attempt = self.attempt
        if attempt is not None and (attempt.is_alive() or attempt.has_sent(message)):
            return
        self.attempt = _Attempt(self._known, message, attach, clip)
        self.attempt.start()

    def settle(self, message: Message, until: float, timeout_s: float) -> str | None:
        """Wait for the try; returns why the message was not sent, or None if it was.

        Args:
            message: The message.
            until: When to give up, in seconds of the monotonic clock.
            timeout_s: Longest time for a try, in seconds.
        """
        attempt = self.attempt
        assert attempt is not None
        if attempt is self._left:  # it may end at any moment, and be about a message before
            return None if attempt.has_sent(message) else "the try before still hangs"
        attempt.join(max(until - time.monotonic(), 0.0))
        if attempt.is_alive():
            self._left = attempt
            return f"no answer within {timeout_s:g} s"
        return attempt.trouble


class _Attempt(threading.Thread):
    """One try to send a message.

    Attributes:
        trouble: Why it was not sent; None if it was.
        error: What was raised, if anything was.
    """

    def __init__(
        self, services: apprise.Apprise, message: Message, attach: str, clip: Path | None
    ) -> None:
        super().__init__(name="streamclf-apprise", daemon=True)
        self._services, self._message = services, message
        self._attach, self._clip = attach, clip
        self.trouble: str | None = "it did not run"
        self.error: Exception | None = None

    def has_sent(self, message: Message) -> bool:
        """Whether it has ended, and has sent this message."""
        return not self.is_alive() and self.trouble is None and self._message.token == message.token

    def run(self) -> None:
        """Send it."""
        try:
            self.trouble = self._send()
        except Exception as error:  # whatever a service's own code raises
            self.error = error
            self.trouble = one_line(f"{type(error).__name__}: {error}")

    def _send(self) -> str | None:
        with _Told() as told, tempfile.TemporaryDirectory(prefix="streamclf-") as folder:
            fine = self._services.notify(
                body=self._message.text,
                title=_title(self._message),
                notify_type=_type(self._message),
                attach=self._make_attachment(Path(folder)),
            )
        return None if fine else told.last or "the service did not take it"

    def _make_attachment(self, folder: Path) -> str | None:
        """Return the path of what is sent along; None where there is nothing."""
        if self._clip is None or self._attach == "none":
            return None
        if self._attach != "picture":
            return str(self._clip)
        from streamclf.pipeline.spectrogram_png import draw_clip

        picture = folder / f"{self._clip.stem}.png"
        try:
            picture.write_bytes(draw_clip(self._clip))
        except (OSError, StreamclfError):  # the clip has gone: the message matters more
            return None
        return str(picture)


class _Told(logging.Handler):
    """What apprise logs of one try, so that nothing of it reaches our own log.

    All tries log to the same place, so each takes what was logged in its own context alone: the
    words of another one may hold secrets that this one does not know to mask.

    Attributes:
        last: The last warning or error.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        self._logger = logging.getLogger("apprise")

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line of this try."""
        if _TRIED.get() is self:
            self.last = one_line(record.getMessage())[:300]

    def __enter__(self) -> _Told:
        self._before = _TRIED.set(self)
        self._logger.addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._logger.removeHandler(self)
        _TRIED.reset(self._before)


_TRIED: ContextVar[_Told | None] = ContextVar("streamclf-apprise", default=None)
"""The try that goes on in this context. apprise hands it on to threads of its own."""


def _read_urls(options: TargetOptions) -> list[str]:
    """Read the URLs; a file may have several, one a line.

    Raises:
        UsageError: The file or the variable cannot be read.
    """
    if options.apprise_file is not None:
        return read_lines("apprise-file", options.apprise_file)
    said = read_secret("apprise", options.apprise, None, options.apprise_env)
    assert said is not None
    return [said]


def _secret_parts(url: str) -> Iterator[str]:
    """Parts of a URL that no text may show: all but its scheme and the name of a machine."""
    yield url
    host, *parts = re.split(r"[/?&=:@,]+", url.partition("://")[2])
    if "@" in url:  # a user comes before the machine, and maybe a password
        host, parts = "", [part for part in [host, *parts] if "." not in part]
    for part in [*([] if "." in host else [host]), *parts]:
        yield from {part, unquote(part)} if len(part) >= SHORTEST_PART else ()


def _open_services(options: TargetOptions, urls: list[str]) -> list[_Service]:
    """Let apprise read the URLs.

    Raises:
        UsageError: apprise is not installed, or does not know a URL.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of services that nobody here asked for
        return _add_services(options, urls)


def _add_services(options: TargetOptions, urls: list[str]) -> list[_Service]:
    try:
        import apprise
    except ImportError as error:
        raise UsageError(
            "apprise: needs the package apprise: pip install 'streamclf[notify]'"
        ) from error
    logger: Any = logging.getLogger("apprise")
    logger.propagate = False  # it logs URLs
    asset = apprise.AppriseAsset(app_id="streamclf", app_desc="streamclf")
    services: list[_Service] = []
    where = "apprise"
    if options.apprise is None:
        where += "-file" if options.apprise_file is not None else "-env"
    for number, url in enumerate(urls, 1):
        service = apprise.Apprise(asset=asset)
        with _Told():
            known = service.add(url)
        if not known:
            scheme, mark, _ = url.partition("://")
            shown = f"{scheme}://***" if mark and scheme.isascii() and scheme.isalnum() else "***"
            which = f" (line {number})" if len(urls) > 1 else ""
            raise UsageError(
                f"{where} {shown}{which}: apprise knows no such service, or lacks a part of the "
                "URL: see https://appriseit.com/services/"
            )
        services.append(_Service(service))
    return services


def _title(message: Message) -> str:
    """A short line above the text."""
    title = " in ".join(part for part in (message.name or message.rule, message.source) if part)
    return one_line(title)[:LONGEST_TITLE]


def _type(message: Message) -> Any:
    """Kind of message, by which services choose a colour."""
    from apprise import NotifyType

    return NotifyType.INFO if message.on in ("end", "quiet", "back", "test") else NotifyType.WARNING
