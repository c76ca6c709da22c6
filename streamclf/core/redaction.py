"""Redaction of text: passwords in URLs are masked, control characters are escaped."""

from __future__ import annotations

import re

HIDDEN = "***"

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/{1,3}[^\s'\"<>]*[^\s'\"<>:,.;)]")
"""A URL within a sentence, without the punctuation mark after it."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*//")
_HOST = re.compile(r"[^:@/?#]*(:[0-9]*)?$|\[[0-9A-Fa-f:.]*\](:[0-9]*)?$")
_SECRET = re.compile(
    r"(?P<key>(?:^|[?&;/#,])(?:[A-Za-z0-9_.-]*(?:password|passwd|passphrase|secret|token|apikey"
    r"|api_key|signature|credential)[A-Za-z0-9_.-]*|pass|pwd|psw|pw|auth|key|sig)=)[^&;#\s]+",
    re.IGNORECASE,
)
"""A parameter that holds a secret. Cameras take passwords as parameters, in the path as well
(``/user=x&password=y``)."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""All control characters except tab and line feed."""


def mask_url(url: str) -> str:
    """Mask the passwords of a URL: the one before the host, and those in parameters."""
    scheme, mark, rest = url.partition(":/")
    if not mark and _SCHEME.match(
        url
    ):  # whoever forgot the colon has typed a password all the same
        scheme, mark, rest = url.partition("//")
    slashes = rest[: len(rest) - len(rest.lstrip("/"))]
    rest = rest[len(slashes) :] if mark else url
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    # A password may hold an unquoted slash. Then this part is not a host, and the host comes later.
    whole = "@" in authority or _HOST.match(authority)
    end = len(authority) if whole else len(rest)
    user, at, host = rest[:end].rpartition("@")
    if at and ":" in user:
        rest = f"{user.partition(':')[0]}:{HIDDEN}@{host}{rest[end:]}"
    shown = _SECRET.sub(lambda found: found["key"] + HIDDEN, rest)
    return f"{scheme}{mark}{slashes}{shown}" if mark else shown


def mask_text(text: str) -> str:
    """Mask the passwords of all URLs in a text."""
    if ":/" not in text:
        return text
    return _URL.sub(lambda found: mask_url(found[0]), text)


def one_line(text: str) -> str:
    r"""Show a foreign text in one line: line breaks as ``\n``, tabs as ``\t``."""
    return show_safely(text).replace("\n", "\\n").replace("\t", "\\t")


def show_safely(text: str) -> str:
    r"""Show a foreign text safely on a terminal: control characters as ``\x1b``."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
