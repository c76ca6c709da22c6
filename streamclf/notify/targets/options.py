"""Options of one target: a table ``[[targets]]`` in the settings file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from streamclf.core.errors import UsageError
from streamclf.core.redaction import HIDDEN, one_line
from streamclf.core.table_keys import Duration, Words
from streamclf.notify.targets.secrets import check_place

Kind: TypeAlias = Literal["webhook", "apprise", "exec"]
Attachment: TypeAlias = Literal["clip", "picture", "none"]

TIMEOUT_S: dict[Kind, float] = {"webhook": 10.0, "apprise": 30.0, "exec": 10.0}
"""Longest time for one try, in seconds, where nothing is said."""
MAX_AGE_S: dict[Kind, float] = {"webhook": 86400.0, "apprise": 86400.0, "exec": 60.0}
"""Age in seconds at which a message is given up, where nothing is said. A command acts on the
place itself: a siren that sounds for an alarm of yesterday is worse than none."""
MAX_TIMEOUT_S = 600.0
MAX_MAX_AGE_S = 30 * 86400.0
_NAME = re.compile(r"[^\W_][\w .-]{0,63}")


@dataclass(frozen=True)
class TargetOptions:
    """A target, as the settings name it. Each field is a key of its table, with ``_`` for ``-``.

    One of `webhook`, `apprise` and `exec` is given, or the file or the environment variable that
    holds one of the first two. Files are read, and variables looked up, when the target is opened.

    Attributes:
        name: Name by which rules choose it.
        webhook: ``http://`` or ``https://`` address that messages are posted to.
        webhook_file: File that holds the address.
        webhook_env: Environment variable that holds the address.
        apprise: URL of a service, as apprise writes it.
        apprise_file: File that holds the URL, or several, one a line.
        apprise_env: Environment variable that holds the URL.
        exec: Program and arguments that are run for each message.
        token_file: File with a token for the header ``Authorization: Bearer`` of a webhook.
        token_env: Environment variable with that token.
        secret_file: File with the secret that a webhook's messages are signed with.
        secret_env: Environment variable with that secret.
        headers_file: File with further headers of a webhook, ``Name: value``, one a line.
        ca_file: Certificates, as PEM, that a webhook is checked against in place of the system's.
        attach: What is sent along with apprise: the event's audio (``clip``), a picture of it, or
            nothing.
        folder: Folder that a command runs in; None for the one that streamclf runs in.
        timeout: Longest time for one try; None for 10 s, and 30 s with apprise.
        max_age: Age at which a message is given up; None for a day, and a minute with exec.

    Raises:
        UsageError: They make no target. The message begins with the key.
    """

    name: str
    webhook: str | None = field(default=None, repr=False)
    webhook_file: Path | None = None
    webhook_env: str | None = None
    apprise: str | None = field(default=None, repr=False)
    apprise_file: Path | None = None
    apprise_env: str | None = None
    exec: Words = ()
    token_file: Path | None = None
    token_env: str | None = None
    secret_file: Path | None = None
    secret_env: str | None = None
    headers_file: Path | None = None
    ca_file: Path | None = None
    attach: Attachment | None = None
    folder: Path | None = None
    timeout: Duration | None = None
    max_age: Duration | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"name {self.name!r}: must be 1 to 64 letters, digits, spaces, dots, hyphens and "
                "underscores, the first a letter or a digit"
            )
        self._check_kind()
        self._check_times()
        if self.attach not in (None, "clip", "picture", "none"):
            raise UsageError(f"attach {self.attach!r}: must be clip, picture or none")

    @property
    def kind(self) -> Kind:
        """What the target is."""
        if self.exec:
            return "exec"
        return "webhook" if self._ways("webhook") else "apprise"

    @property
    def timeout_s(self) -> float:
        """Longest time for one try, in seconds."""
        return TIMEOUT_S[self.kind] if self.timeout is None else self.timeout

    @property
    def max_age_s(self) -> float:
        """Age in seconds at which a message is given up."""
        return MAX_AGE_S[self.kind] if self.max_age is None else self.max_age

    def _ways(self, key: str) -> list[str]:
        """The keys by which a value is given: itself, from a file, from the environment."""
        keys = [key, f"{key}_file", f"{key}_env"]
        return [each.replace("_", "-") for each in keys if getattr(self, each, None) is not None]

    def _check_kind(self) -> None:
        given = [*self._ways("webhook"), *self._ways("apprise"), *(["exec"] if self.exec else [])]
        if not given:
            raise UsageError(
                f"name {self.name}: the target goes nowhere: give webhook, apprise or exec"
            )
        if len(given) > 1:
            raise UsageError(f"{given[1]}: {given[0]} is given as well: give one of them")
        for key in ("webhook", "apprise", "token", "secret"):
            check_place(key, getattr(self, f"{key}_file"), getattr(self, f"{key}_env"))
        for key in ("token", "secret"):
            if len(ways := self._ways(key)) > 1:
                raise UsageError(f"{ways[1]}: {ways[0]} is given as well: give one of them")
        if self.webhook is not None:
            check_address(self.webhook, "webhook")
        only: dict[Kind, tuple[str, ...]] = {
            "webhook": (
                "token_file", "token_env", "secret_file", "secret_env", "headers_file", "ca_file",
            ),
            "apprise": ("attach",),
            "exec": ("folder",),
        }  # fmt: skip
        for kind, keys in only.items():
            for key in keys:
                if kind != self.kind and getattr(self, key) is not None:
                    raise UsageError(
                        f"{key.replace('_', '-')}: is for a target with {kind}, and {self.name} "
                        f"is one with {self.kind}: leave it out"
                    )

    def _check_times(self) -> None:
        for key, value, limit in [
            ("timeout", self.timeout, MAX_TIMEOUT_S), ("max-age", self.max_age, MAX_MAX_AGE_S)
        ]:  # fmt: skip
            if value is not None and not 0 < value <= limit:
                raise UsageError(
                    f"{key} {value:.10g} s: must be above 0 s and at most {limit:.10g} s"
                )


def check_address(address: str, where: str) -> None:
    """Refuse an address that nothing can be posted to.

    Args:
        address: The address.
        where: What the message begins with: the key, the file or the variable.

    Raises:
        UsageError: It is none.
    """
    try:
        parts = urlsplit(address)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    fine = fine and address.isascii() and address.isprintable() and " " not in address
    if not fine:
        raise UsageError(
            f"{where} {show_address(address)}: must be an address like https://example.org/heard"
        )


def show_address(address: str) -> str:
    """Show scheme and machine of what should be an address: what follows them may be a secret."""
    scheme, slashes, rest = address.partition("://")
    if not slashes:
        scheme, rest = "", address
    _, at, rest = rest.rpartition("@")
    found = re.match(r"[^/?#\s]*", rest)
    host = found[0] if found is not None else ""
    if not slashes and "." not in host:  # a token, maybe
        return HIDDEN if address else "(empty)"
    more = rest[len(host) :]
    shown = f"{scheme}{slashes}{f'{HIDDEN}@' if at else ''}{host}"
    return one_line(shown + (more if more in ("", "/") else f"/{HIDDEN}"))
