"""Target behind apprise: ntfy, Telegram, mail, Matrix and many more, one URL each."""

from __future__ import annotations

import logging
import tempfile
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


class AppriseTarget(Target):
    """One or several services behind apprise.

    Args:
        options: Its options.

    Raises:
        UsageError: apprise is not installed, a file or a variable of the options cannot be read, or
            apprise does not know the URL.
    """

    def __init__(self, options: TargetOptions) -> None:
        self.name = options.name
        self._timeout_s = options.timeout_s
        self._urls = _read_urls(options)
        self._services = _open_services(options, self._urls)
        services = [*self._services]
        names = dict.fromkeys(str(each.service_name or each.protocol) for each in services)
        self.description = ", ".join(names)
        can_attach = any(each.attachment_support for each in services)
        self._attach = options.attach or "clip"
        if options.attach in ("clip", "picture") and not can_attach:
            raise UsageError(
                f"attach {options.attach}: {self.description} takes no files: leave it out"
            )
        self.takes_clips = can_attach and self._attach != "none"
        self._hanging: threading.Thread | None = None

    def send(self, message: Message, clip: Path | None) -> None:
        """Send a message; see `Target.send`.

        It runs in a thread of its own, because no library can promise to come back in time.
        """
        if self._hanging is not None and self._hanging.is_alive():
            raise DeliveryError("the try before still hangs")
        attempt = _Attempt(self._services, message, self._attach, clip)
        attempt.start()
        attempt.join(self._timeout_s)
        if attempt.is_alive():
            self._hanging = attempt
            raise DeliveryError(f"no answer within {self._timeout_s:g} s")
        self._hanging = None
        if attempt.trouble is not None:
            raise DeliveryError(mask_secrets(attempt.trouble, self._urls)) from attempt.error


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
    """What apprise logs in one thread, so that nothing of it reaches our own log.

    Attributes:
        last: The last warning or error.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        self._logger = logging.getLogger("apprise")

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.last = one_line(record.getMessage())[:300]

    def __enter__(self) -> _Told:
        self._logger.addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._logger.removeHandler(self)


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


def _open_services(options: TargetOptions, urls: list[str]) -> apprise.Apprise:
    """Let apprise read the URLs.

    Raises:
        UsageError: apprise is not installed, or does not know a URL.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of services that nobody here asked for
        return _add_services(options, urls)


def _add_services(options: TargetOptions, urls: list[str]) -> apprise.Apprise:
    try:
        import apprise
    except ImportError as error:
        raise UsageError(
            "apprise: needs the package apprise: pip install 'streamclf[notify]'"
        ) from error
    logger: Any = logging.getLogger("apprise")
    logger.propagate = False  # it logs URLs
    services = apprise.Apprise(asset=apprise.AppriseAsset(app_id="streamclf", app_desc="streamclf"))
    where = "apprise"
    if options.apprise is None:
        where += "-file" if options.apprise_file is not None else "-env"
    for number, url in enumerate(urls, 1):
        with _Told():
            known = services.add(url)
        if not known:
            scheme, mark, _ = url.partition("://")
            shown = f"{scheme}://***" if mark and scheme.isascii() and scheme.isalnum() else "***"
            which = f" (line {number})" if len(urls) > 1 else ""
            raise UsageError(
                f"{where} {shown}{which}: apprise knows no such service, or lacks a part of the "
                "URL: see https://appriseit.com/services/"
            )
    return services


def _title(message: Message) -> str:
    """A short line above the text."""
    title = " in ".join(part for part in (message.name or message.rule, message.source) if part)
    return one_line(title)[:LONGEST_TITLE]


def _type(message: Message) -> Any:
    """Kind of message, by which services choose a colour."""
    from apprise import NotifyType

    return NotifyType.INFO if message.on in ("end", "quiet", "test") else NotifyType.WARNING
