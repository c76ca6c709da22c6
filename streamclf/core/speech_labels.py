"""Labels that mean speech: by them a model tells where somebody speaks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from streamclf.core.card import Card

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


SPEECH_SCORE = 0.05
"""Score of speech, 0..1, from which a window holds speech, as models of one's own give it."""
UNSURE_SPEECH_SCORE = 0.1
"""The same of a model whose card says from which score on a sound is known to it. Such a model,
`pocket` for one, learned to give noise the same score for every label, and faint noise comes to
0.05. Of clips with speech 0 to 30 dB below a dog's bark 0.4 to 2.8 % are missed at 0.1, 0.4 to
2.0 % at 0.05, at which half of the clips without speech are withheld, too (24 % at 0.1)."""
LEAST_OWN_SCORE = 0.15
"""The same of a label of many at once, which counts from its own threshold on. The label of speech
as such counts from this score on, whatever its threshold: one that is high so that soundscapes have
fewer events of speech must not let speech into clips. One in ten windows of a dog's bark scores
0.04 with `wide`; it hears speech under other sounds so well that 0.15 misses less than `pocket`
does, and withholds as few clips without speech."""
_SPEECH_AS_SUCH = "speech"


def find_speech_scores(card: Card) -> dict[str, float]:
    """Find from which score of each label of speech on a window holds speech.

    Where several labels sound at once and the card has thresholds for single ones, each counts from
    its own threshold on, but from `LEAST_OWN_SCORE` at least, and *Speech* always from
    `LEAST_OWN_SCORE`; elsewhere from `SPEECH_SCORE`, or from `UNSURE_SPEECH_SCORE`.
    """
    thresholds = card.thresholds
    own = card.task == "multi-label" and bool(thresholds.classes)
    least = SPEECH_SCORE if card.unknown is None else UNSURE_SPEECH_SCORE
    labels = [card.labels[index] for index in find_speech_labels(card.labels, card.display_names)]
    if not own:
        return dict.fromkeys(labels, least)
    return {
        label: LEAST_OWN_SCORE
        if _plain(label) == _SPEECH_AS_SUCH
        else max(thresholds.of(label).on, LEAST_OWN_SCORE)
        for label in labels
    }


def _plain(name: str) -> str:
    """A name in small letters, words apart by one blank each."""
    return re.sub(r"[\W_]+", " ", name).strip().lower()
