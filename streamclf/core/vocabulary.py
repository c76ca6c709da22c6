"""What people mean by the name of a sound, wherever a sound can be asked for by a name.

A name means each label that is called so, and all that is narrower: an alarm is a siren as well,
and a smoke detector. A kind that is told by a common name means the sound of that name, too: a bark
is a dog (`streamclf.core.sound_kinds`). So whoever asks for a label hears of all for which that
label itself stays silent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from streamclf.core.card import Card
from streamclf.core.label_names import plain_name, spoken_names
from streamclf.core.records import StreamStarted
from streamclf.core.sound_kinds import KINDS, find_broader
from streamclf.core.unknown import SILENCE_LABEL, UNKNOWN_LABEL

Direct = Mapping[str, Sequence[str]]
"""By label those that are broader by one step, as a card has them."""


class Vocabulary:
    """The labels of one model, or of several, and what names mean among them.

    Args:
        shown: Labels, with the names that people read.
        direct: Labels that are broader than a label by one step, as the model's card has them.
    """

    def __init__(self, shown: Mapping[str, str], direct: Direct | None = None) -> None:
        self.shown = dict(shown)
        self._direct = direct or {}
        self._models: tuple[Vocabulary, ...] = (self,)
        self._meant: dict[str, dict[str, str]] = {}

    @classmethod
    def of_card(cls, card: Card) -> Vocabulary:
        """The vocabulary of a model, with the events of unknown sounds and of silence."""
        return cls(_with_others({label: card.display_name(label) for label in card.labels}),
                   card.broader_sounds)  # fmt: skip

    @classmethod
    def of_stream(cls, stream: StreamStarted) -> Vocabulary:
        """The vocabulary of a stream's model, with the events of unknown sounds and of silence."""
        shown = {label: stream.display_name(label) for label in stream.labels}
        return cls(_with_others(shown), stream.broader)

    @classmethod
    def join(cls, models: Iterable[Vocabulary]) -> Vocabulary:
        """One vocabulary of several models: a name means what it means in any of them.

        Args:
            models: Their vocabularies. Where they call a label differently, the last one's name is
                shown.
        """
        models = tuple(models)
        shown = {label: name for each in models for label, name in each.shown.items()}
        joined = cls(shown)
        joined._models = tuple(model for each in models for model in each._models)
        return joined

    def show(self, label: str) -> str:
        """Return the name that people read for a label."""
        return self.shown.get(label, label)

    def named(self, said: str) -> list[str]:
        """Find the labels that are called so; none where nobody calls a label so.

        Args:
            said: An identifier, a name that people read, or one of several names ("smoke alarm" of
                "Smoke detector, smoke alarm"). Case and punctuation matter only where several
                labels differ by them.
        """
        found = (label for model in self._models for label in model._named(said))
        return list(dict.fromkeys(found))

    def meant(self, said: str) -> Mapping[str, str]:
        """Find the labels that are meant by a name.

        Args:
            said: As `named` takes it.

        Returns:
            Each of them, with the label that was asked for: itself where it is called so, the
            broader one or the kind elsewhere.
        """
        found = self._meant.get(said)
        if found is None:
            found = {}
            for model in self._models:
                for label, asked in model._find_meant(said):
                    found.setdefault(label, asked)
            # What is called so in one model is itself, even if it is narrower in another.
            found = self._meant[said] = {**found, **{each: each for each in self.named(said)}}
        return found

    def asked(self, labels: Sequence[str], label: str) -> str | None:
        """Tell by which of several names a label is asked for.

        Args:
            labels: Names, as `named` takes them.
            label: The label of an event.

        Returns:
            The label itself where it is named; else the broader one, or the kind, that is named
            first. None where none of them means it.
        """
        broad = None
        for said in labels:
            asked = self.meant(said).get(label)
            if asked == label:
                return label
            broad = broad or asked
        return broad

    def common_name(self, label: str) -> str | None:
        """Return the sound that a kind is told by; None for a label that is no such kind."""
        return next((each._kinds[label] for each in self._models if label in each._kinds), None)

    def broader_than(self, label: str) -> list[str]:
        """Return all labels that are broader than one, however many steps away."""
        broader = (each for model in self._models for each in model._broader.get(label, ()))
        return list(dict.fromkeys(broader))

    def with_narrower(self, label: str) -> list[str]:
        """Return a label and all that are narrower; a kind means no other sound here."""
        narrower = (each for model in self._models for each in model._narrower.get(label, ()))
        return list(dict.fromkeys([label, *narrower]))

    # What follows is of one model.

    def _find_meant(self, said: str) -> Iterator[tuple[str, str]]:
        named = self._named(said)
        yield from ((label, label) for label in named)
        for label in named:
            if (common := self._kinds.get(label)) is not None:
                yield common, label
            yield from ((each, label) for each in self._narrower.get(label, ()))

    def _named(self, said: str) -> list[str]:
        if said in self.shown:  # models write the same label in different cases
            return [said, *(each for each in self._by_case.get(said.casefold(), ())
                            if each != said)]  # fmt: skip
        return (
            self._by_shown.get(said)
            or self._by_whole.get(plain_name(said))
            or self._by_part.get(plain_name(said))
            or []
        )

    @cached_property
    def _by_case(self) -> dict[str, list[str]]:
        return _index((label.casefold(), label) for label in self.shown)

    @cached_property
    def _by_shown(self) -> dict[str, list[str]]:
        return _index((name, label) for label, name in self.shown.items())

    @cached_property
    def _by_whole(self) -> dict[str, list[str]]:
        both = (
            (plain_name(name), label) for label in self.shown for name in (label, self.show(label))
        )
        return _index(each for each in both if each[0])

    @cached_property
    def _by_part(self) -> dict[str, list[str]]:
        return _index(
            (part, label)
            for label, name in self.shown.items()
            for part in spoken_names(label) | spoken_names(name)
        )

    @cached_property
    def _kinds(self) -> dict[str, str]:
        """The sounds that kinds are told by; none in a model that knows no broader labels."""
        if not self._direct:
            return {}
        return {
            kind: name
            for name, kinds in KINDS.items()
            if name in self.shown
            for kind in kinds
            if kind in self.shown
        }

    @cached_property
    def _broader(self) -> dict[str, frozenset[str]]:
        """For each label that has broader ones: all of them, however many steps away."""
        return find_broader([*self.shown], self._direct, self._kinds)

    @cached_property
    def _narrower(self) -> dict[str, list[str]]:
        """For each label that has narrower ones: all of them, however many steps away."""
        pairs = ((label, broad) for label in self.shown for broad in self._broader.get(label, ()))
        return _index((broad, label) for label, broad in pairs)


def _with_others(shown: dict[str, str]) -> dict[str, str]:
    return {UNKNOWN_LABEL: UNKNOWN_LABEL, SILENCE_LABEL: SILENCE_LABEL, **shown}


def _index(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in pairs:
        values = found.setdefault(key, [])
        if value not in values:
            values.append(value)
    return found
