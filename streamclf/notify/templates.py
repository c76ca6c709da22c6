"""Texts of messages: a template with named fields, and nothing in it is evaluated.

``{name} in {source} at {time}`` becomes ``Smoke alarm in kitchen at 22:14:03``. A field is a name
in braces alone; ``{{`` and ``}}`` are braces themselves.
"""

from __future__ import annotations

import string
from collections.abc import Mapping

from streamclf.core.errors import UsageError
from streamclf.core.redaction import show_safely
from streamclf.core.text_format import format_length
from streamclf.notify.hours import local_moment
from streamclf.notify.messages import Message, Occasion

FIELDS = {
    "name": "the sound as people read it; empty with lost",
    "sureness": "how sure it is so far: maybe, likely or sure; empty where the model has no word",
    "sound": "the name, and how sure it is: Smoke alarm (likely)",
    "label": "the model's identifier of the sound; empty with lost",
    "asked": "what the rule names: Alarm where {name} is Siren; mostly the same as {name}",
    "source": "name of the source",
    "rule": "name of the rule",
    "time": "when it began, by the place's clock: 22:14:03; with quiet or lost, since when",
    "date": "the day of that time: 2026-11-21",
    "end": "when it ended; empty while it goes on",
    "length": "how long it lasted; while it goes on, is quiet or lost, for how long so far",
    "score": "highest score so far, from 0 to 1; empty with quiet and lost",
    "count": "how often it was heard, for a rule with repeats; else 1",
}
"""The fields, and what they say."""
DEFAULTS: Mapping[Occasion, str] = {
    "begin": "{source}: {sound} since {time}",
    "ongoing": "{source}: {name} goes on since {time}",
    "end": "{source}: {sound} from {time} to {end}",
    "quiet": "{source}: no {name} since {time}",
    "lost": "{source}: lost since {time}, nothing is heard of it",
    "back": "{source}: heard again after {length}",
}
"""Templates of rules that have none."""
NO_SIGNAL = "{source}: no signal since {time}, is it muted or unplugged?"
"""Template of a rule that has none, with ``lost``, where a source delivers digital silence."""
REPEATED = "{source}: {name}, {count} times by {time}"
"""Template of a rule that has ``repeats`` and no template."""
REPEATED_OF_SEVERAL = "{source}: {asked}, {count} times by {time}, last {name}"
"""The same where the rule names a broader label."""
LONGEST = 2000
"""Most characters of a template; several services take no longer messages."""


def check_template(text: str) -> None:
    """Refuse a template that has anything but known fields.

    Raises:
        UsageError: It does. The message begins with ``message``.
    """
    if not text.strip():
        raise UsageError("message: is empty: leave it out for the usual text")
    if len(text) > LONGEST:
        raise UsageError(f"message: has {len(text)} characters, must have {LONGEST} or fewer")
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise UsageError(
            f"message: has a single brace: {error}; write {{{{ and }}}} for braces themselves"
        ) from error
    for _, field, form, conversion in parts:
        if field is not None and (field not in FIELDS or form or conversion):
            said = field + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            raise UsageError(
                f"message: {{{said}}} is no field: there are "
                f"{', '.join(f'{{{name}}}' for name in FIELDS)}"
            )


def fill_template(text: str, message: Message, until_us: int) -> str:
    """Fill the fields of a checked template.

    Args:
        text: The template.
        message: What it tells; its own text does not matter.
        until_us: The moment up to which a sound, or the quiet, has lasted, in microseconds since
            1970-01-01 UTC.
    """
    zone = message.utc_offset_min
    onset_us, offset_us = message.onset_us, message.offset_us
    begun = None if onset_us is None else local_moment(onset_us, zone)
    lasted_us = None if onset_us is None else (offset_us or until_us) - onset_us
    values = {
        "name": message.name,
        "sureness": message.sureness or "",
        "sound": f"{message.name} ({message.sureness})" if message.sureness else message.name,
        "label": message.label,
        "asked": message.asked_name or message.name,
        "source": message.source,
        "rule": message.rule,
        "time": "" if begun is None else f"{begun:%H:%M:%S}",
        "date": "" if begun is None else f"{begun:%Y-%m-%d}",
        "end": "" if offset_us is None else f"{local_moment(offset_us, zone):%H:%M:%S}",
        "length": "" if lasted_us is None else format_length(max(lasted_us, 0) / 1e6),
        "score": "" if message.score is None else f"{message.score:.2f}",
        "count": str(message.count),
    }
    parts = string.Formatter().parse(text)
    filled = (before + (values[field] if field else "") for before, field, _, _ in parts)
    return show_safely("".join(filled))
