"""A message that somebody asks for, to see whether it arrives."""

from __future__ import annotations

import secrets
from dataclasses import replace

from streamclf.notify.messages import Message
from streamclf.notify.rules import Rule
from streamclf.notify.templates import fill_template

TEST = "Test: "
"""What the text of such a message begins with."""
_LENGTH_US = 2_000_000


def make_trial(
    rule: Rule, source: str, label: str, name: str, now_us: int, utc_offset_min: int
) -> Message:
    """Make a message as a rule would tell it now.

    Args:
        rule: The rule.
        source: Name of the source.
        label: The model's identifier of the sound.
        name: The sound as people read it.
        now_us: The present, in microseconds since 1970-01-01 UTC.
        utc_offset_min: The place's offset from UTC, in minutes.
    """
    onset_us = now_us - max(round(rule.lasting * 1_000_000), _LENGTH_US)
    message = Message(
        token=f"test-{secrets.token_hex(8)}",
        rule=rule.name,
        on="test",
        source=source,
        label=label,
        name=name,
        text="",
        told_us=now_us,
        utc_offset_min=utc_offset_min,
        targets=rule.to,
        score=None if rule.on in ("quiet", "lost") else max(rule.min_score, 0.9),
        sureness=None if rule.on in ("quiet", "lost") else "sure",
        onset_us=onset_us,
        offset_us=now_us if rule.on == "end" else None,
        count=rule.repeats,
    )
    return replace(message, text=TEST + fill_template(rule.template, message, now_us))
