"""Labels that mean speech: by them a model tells where somebody speaks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

SPEECH_NAMES = frozenset(
    {
        # AudioSet's, which YAMNet and EfficientAT name as well
        "speech", "male speech man speaking", "female speech woman speaking",
        "child speech kid speaking", "conversation", "narration monologue", "babbling",
        "speech synthesizer", "shout", "bellow", "whoop", "yell", "battle cry",
        "children shouting", "screaming", "whispering", "chatter",
        "hubbub speech noise speech babble", "human voice", "singing", "male singing",
        "female singing", "child singing", "synthetic singing", "choir", "chant", "mantra",
        "rapping", "vocal music", "a capella",
        # the same in other forms, as in FSD50K and in models of one's own
        "male speech", "female speech", "child speech", "male speech and man speaking",
        "female speech and woman speaking", "child speech and kid speaking", "man speaking",
        "woman speaking", "kid speaking", "human speech", "spoken", "speaking", "talk", "talking",
        "people talking", "conversations", "narration", "monologue", "shouting", "yelling",
        "whisper", "voice", "voices", "human voices", "chatter voices", "babble", "rap",
    }
)  # fmt: skip
"""Names of speech and of singing, in small letters, with blanks for all else."""


def find_speech_labels(labels: Sequence[str], display_names: Mapping[str, str]) -> list[int]:
    """Find the labels that mean speech or singing, by themselves or by their display names.

    Args:
        labels: Labels of a model.
        display_names: Names shown to people in place of labels.

    Returns:
        Their places among the labels; empty for a model that does not tell speech.
    """
    return [
        index
        for index, label in enumerate(labels)
        if not SPEECH_NAMES.isdisjoint({_plain(label), _plain(display_names.get(label, ""))})
    ]


def _plain(name: str) -> str:
    """A name in small letters, words apart by one blank each."""
    return re.sub(r"[\W_]+", " ", name).strip().lower()
