"""Keys of tables in ``streamclf.toml``: a table is a frozen dataclass, a field of it a key.

The key is the field's name with ``-`` in place of ``_``. The form of its value follows from the
field's type, its help is what the docstring says of it under ``Attributes``. `streamclf.cli.tables`
reads tables, ``scripts/reference.py`` writes their reference.

A dataclass checks its values itself. The message of such an error begins with the key, so that the
reader of the table can put file and line in front of it: ``min-score 3: must be from 0 to 1``.

    ==================  =============================================================
    type of the field   what the file may say
    ==================  =============================================================
    ``str``             a text
    ``Literal``         one of its texts
    ``tuple``           a text, or a list of texts
    `Words`             a list of texts
    `Duration`          a text with a unit, or a number of seconds
    ``float``, ``int``  a number, a whole number
    ``bool``            true or false
    ``Path``            a text, which may begin with ``~``
    ==================  =============================================================
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

Form: TypeAlias = Literal[
    "text", "texts", "words", "duration", "number", "whole number", "switch", "path"
]
"""What a value is."""
Duration: TypeAlias = Annotated[float, "duration"]
"""Type of a field that holds seconds, and that the file may write as ``"10s"``."""
Words: TypeAlias = Annotated[tuple[str, ...], "words"]
"""Type of a field that holds texts, and for which a single text would be a mistake."""

DURATION_FORMS = 'such as "10s", "5m", "2h" or "1d", or a number of seconds'
"""The forms of a duration, for messages and help."""
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*([smhd])\s*")
_FORMS: dict[Form, str] = {
    "text": "a text in quotes",
    "texts": "a text in quotes, or a list of such texts",
    "words": "a list of texts in quotes",
    "duration": f"a duration {DURATION_FORMS}",
    "number": "a number",
    "whole number": "a whole number",
    "switch": "true or false",
    "path": "a path in quotes",
}
_SIMPLE: dict[object, Form] = {
    str: "text", float: "number", int: "whole number", bool: "switch", Path: "path"
}  # fmt: skip


@dataclass(frozen=True)
class Key:
    """A key of a table.

    Attributes:
        name: As the file writes it: ``min-score``.
        form: What its value is.
        help: What it does, in a sentence or two.
        choices: The texts that it may be; empty for any.
        required: Whether each table must have it.
        default: The field's value where nothing is said.
        secret: Whether messages must not show its value: that of a field without ``repr``.
    """

    name: str
    form: Form
    help: str
    choices: tuple[str, ...]
    required: bool
    default: Any
    secret: bool = False

    @property
    def must(self) -> str:
        """What its value must be, for messages."""
        return " or ".join(f'"{choice}"' for choice in self.choices) or _FORMS[self.form]


def keys_of(kind: type[Any]) -> dict[str, Key]:
    """The keys of a dataclass by the fields that they set, in the order of the fields.

    Raises:
        TypeError: A field has a type that no value in a file can have.
    """
    hints = get_type_hints(kind, include_extras=True)
    helps = _read_attributes(kind.__doc__ or "")
    keys = {}
    for each in fields(kind):
        form, choices = _form_of(hints[each.name])
        missing = each.default is MISSING and each.default_factory is MISSING
        default = None if each.default is MISSING else each.default
        name = each.name.replace("_", "-")
        keys[each.name] = Key(
            name, form, helps.get(each.name, ""), choices, missing, default, not each.repr
        )
    return keys


def _form_of(hint: Any) -> tuple[Form, tuple[str, ...]]:
    """The form of a type, and the texts that it may be."""
    if get_origin(hint) in (Union, UnionType):
        hint = next(each for each in get_args(hint) if each is not NoneType)
    if get_origin(hint) is Annotated:
        return hint.__metadata__[0], ()
    if get_origin(hint) is Literal:
        return "text", get_args(hint)
    if get_origin(hint) is tuple:
        return "texts", _form_of(get_args(hint)[0])[1]
    if hint not in _SIMPLE:
        raise TypeError(f"{hint}: no value in a settings file has this type")
    return _SIMPLE[hint], ()


def _read_attributes(docstring: str) -> dict[str, str]:
    """Read what a docstring says of each attribute, in one line each."""
    section = re.search(r"^ *Attributes:\n(.*?)(?=\n\S|\Z)", docstring, re.MULTILINE | re.DOTALL)
    if section is None:
        return {}
    body = textwrap.dedent(section[1].split("\n\n")[0])
    parts = re.split(r"^(\w+): ", body, flags=re.MULTILINE)[1:]
    return {
        name: " ".join(text.split()) for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def read_duration(said: object) -> float | None:
    """Read a duration.

    Args:
        said: A text with units, such as ``"10s"`` or ``"1h30m"``, or a number of seconds.

    Returns:
        Seconds; None if it is no duration.
    """
    if isinstance(said, bool):
        return None
    if isinstance(said, int | float):
        return float(said) if 0 <= said < math.inf else None
    if not isinstance(said, str) or not said.strip() or _PART.sub("", said.strip()):
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(said))


def convert(key: Key, said: object) -> Any:
    """Convert what a file says to the value of the field.

    Args:
        key: The key.
        said: The value as TOML's reader gives it.

    Returns:
        The value; None if it has another form.
    """
    if key.form == "duration":
        return read_duration(said)
    if key.form in ("texts", "words"):
        texts = [said] if key.form == "texts" and isinstance(said, str) else said
        return tuple(texts) if isinstance(texts, list) and _are_texts(key, texts) else None
    if key.form in ("text", "path"):
        if not _are_texts(key, [said]) or (key.form == "path" and not said):
            return None
        return said if key.form == "text" else Path(str(said)).expanduser()
    if key.form == "switch" or isinstance(said, bool):
        return said if key.form == "switch" and isinstance(said, bool) else None
    if key.form == "whole number":
        return said if isinstance(said, int) else None
    return float(said) if isinstance(said, int | float) and math.isfinite(said) else None


def _are_texts(key: Key, said: Sequence[object]) -> bool:
    return all(
        isinstance(each, str) and "\0" not in each and (not key.choices or each in key.choices)
        for each in said
    )
