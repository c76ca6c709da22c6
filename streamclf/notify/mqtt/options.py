"""Options of the table ``[mqtt]``: the broker, and what is told there."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import Literal, TypeAlias

from streamclf.core.errors import UsageError
from streamclf.core.redaction import one_line
from streamclf.notify.targets.secrets import check_place, read_secret

Command: TypeAlias = Literal["pause", "threshold"]
"""What a client of the broker may do: pause a source, set the threshold of a label."""

COMMANDS: tuple[Command, ...] = ("pause", "threshold")
PORT, TLS_PORT = 1883, 8883
HIGHEST_PORT = 65_535
EVERY_LABEL = "*"
"""Stands for all labels of a model."""
DISCOVERY_PREFIX = "homeassistant"
TOPIC = "streamclf"
_LONGEST_TOPIC = 200
_LONGEST_SECRET = 65_535  # bytes, by the protocol


@dataclass(frozen=True)
class MqttOptions:
    """The broker, and what is told there.

    Attributes:
        host: Name or address of the broker.
        port: Its port; None for 8883 with TLS and 1883 without.
        user: Name of the user; None where the broker lets anybody in.
        password_file: File whose first line is the user's password.
        password_env: Environment variable that holds the user's password.
        tls: Whether the connection is encrypted.
        ca_file: File of certificates (PEM) that the broker's must be signed by, which implies
            ``tls``; None for those that the system trusts.
        certificate_file: The client's own certificate (PEM), for a broker that asks for one.
        key_file: The private key of that certificate (PEM).
        topic: Begin of all topics but those of discovery.
        discovery_prefix: Begin of the topic by which Home Assistant finds the device; empty for no
            discovery.
        device: Name of the device in Home Assistant; None for the machine's name.
        labels: Labels that get a binary sensor at each source, as identifiers or display names. It
            is on while the label, or a narrower one, sounds. ``*`` stands for all.
        allow: What may be done through the broker; nothing by default.

    Raises:
        UsageError: An option makes no sense. The message begins with its key.
    """

    host: str
    port: int | None = None
    user: str | None = None
    password_file: Path | None = None
    password_env: str | None = None
    tls: bool = False
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    topic: str = TOPIC
    discovery_prefix: str = DISCOVERY_PREFIX
    device: str | None = None
    labels: tuple[str, ...] = ()
    allow: tuple[Command, ...] = ()

    def __post_init__(self) -> None:
        if not _is_host(self.host):
            raise UsageError(
                f"host {one_line(self.host) or '(empty)'}: must be the broker's name or address "
                "alone, such as 192.168.1.5; port, user and password-file have keys of their own"
            )
        if self.port is not None and not 1 <= self.port <= HIGHEST_PORT:
            raise UsageError(
                f"port {self.port}: must be from 1 to {HIGHEST_PORT}; brokers use {PORT}, or "
                f"{TLS_PORT} with TLS"
            )
        check_place("password", self.password_file, self.password_env)
        for key, text in [("user", self.user), ("device", self.device)]:
            if text is not None and not text.strip():
                raise UsageError(f"{key}: is empty: leave it out")
            if text is not None and not text.isprintable():
                raise UsageError(f"{key} {one_line(text)}: must be one line of printable text")
        if self.password_file is not None and self.password_env is not None:
            raise UsageError("password-env: there is a password-file as well: give one of them")
        for key, given in [("file", self.password_file), ("env", self.password_env)]:
            if given is not None and self.user is None:
                raise UsageError(f"password-{key} {given}: belongs to a user: name it by user")
        if self.key_file is not None and self.certificate_file is None:
            raise UsageError(
                f"key-file {self.key_file}: belongs to a certificate: name it by certificate-file"
            )
        if not self.topic:
            raise UsageError(f"topic: is empty: leave it out for {TOPIC}")
        _check_topic("topic", self.topic)
        if self.discovery_prefix:
            _check_topic("discovery-prefix", self.discovery_prefix)
        for label in self.labels:
            if not label.strip():
                raise UsageError("labels: one of them is empty: leave it out")
        for command in self.allow:
            if command not in COMMANDS:
                raise UsageError(f"allow {command}: must be {' or '.join(COMMANDS)}")

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.tls or self.ca_file is not None or self.certificate_file is not None

    @property
    def real_port(self) -> int:
        """The broker's port."""
        return self.port or (TLS_PORT if self.uses_tls else PORT)

    @property
    def address(self) -> str:
        """Host and port for people, with the user's name, without a password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user is not None else ""
        return f"{user}{host}:{self.real_port}"

    def read_password(self) -> str | None:
        """Read the password from where it is kept; None if there is none.

        Raises:
            UsageError: It cannot be had. The message begins with the key.
        """
        said = read_secret("password", None, self.password_file, self.password_env)
        if said is None:
            return None
        password = said.splitlines()[0].strip()
        if len(password.encode()) > _LONGEST_SECRET:
            raise UsageError(
                f"password-{'file' if self.password_file is not None else 'env'}: holds "
                f"{len(password.encode())} bytes, a password has at most {_LONGEST_SECRET}: check "
                "what it is"
            )
        return password


def _is_host(text: str) -> bool:
    """Whether a text may be the name or the address of a machine, without a port."""
    if ":" in text:
        try:
            IPv6Address(text)
        except ValueError:
            return False
        return True
    if not text or not text.isprintable() or set("/@ []") & set(text):
        return False
    try:
        text.encode("idna")
    except UnicodeError:  # a part of it is empty or too long
        return False
    return True


def _check_topic(key: str, topic: str) -> None:
    """Refuse what cannot begin a topic.

    Raises:
        UsageError: It has a wildcard, an empty level, a control character, or is too long.
    """
    levels = topic.split("/")
    plain = all(level and level.isprintable() and not set("+# ") & set(level) for level in levels)
    if not plain or topic.startswith("$") or len(topic) > _LONGEST_TOPIC:
        raise UsageError(
            f"{key} {topic}: must be words with / between them, without + and #, at most "
            f"{_LONGEST_TOPIC} characters, such as {TOPIC}/attic"
        )
