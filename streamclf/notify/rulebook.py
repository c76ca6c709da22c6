"""The rule book: what happened goes in, messages come out. It knows no clock and no thread.

What it decides depends on the times of the sounds themselves, by the samples, and not on when they
became known. So the same sounds give the same messages live, in a replay of the store, and after a
restart. Only when a message is told depends on when a thing was known.

Meanings
--------

- Each source and each label has a state of its own in each rule: cooldown, repeats, first of the
  day and rare count apart. Other sources and their order change nothing.
- A rule that names a broader label (an alarm) asks for its narrower ones as well (a siren), and all
  of them share its state. Their events are one sound while another one sounds, or follows at once
  (`streamclf.notify.joined_sounds`): the alarm lasts from the first to the last, and counts once. A
  message names the label that was heard: the first one as it begins, the surest one later.
  The first of several is the one whose begin was known first, by the audio up to then; of those
  known by the same window, the one with the earlier onset, or else the label that the model has
  first. The store knows that order, and a replay keeps to it.
- A sound counts once it has reached ``min_score`` and is sure ``at_least`` so, at its begin or
  later, and lasted ``lasting``.
- The moment of a message is the onset plus ``lasting`` (``begin``), the offset (``end``), the
  moment at which the next round is due (``ongoing``), or at which it has been quiet for ``lasting``
  (``quiet``). ``hours`` and ``first_of_day`` look at that moment, ``cooldown`` at the time between
  two such moments, ``repeats`` and ``rare`` at onsets.
- ``begin`` and ``end``: a sound that may not be told is not told later. ``ongoing`` and ``quiet``
  wait until the cooldown is over and the hours begin, while the sound or the quiet lasts.
- The end of a sound is known some time after it, so a message about a sound that goes on waits for
  `SETTLED_US` behind its moment. The begin of a faint sound is known later still: ``quiet`` waits
  for `QUIET_SETTLED_US`.
- ``quiet`` begins when a sound of the rule has ended, and counts heard time. It is told once, until
  such a sound is heard again. With several labels, none of them may be heard.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from streamclf.core.sureness import rank_sureness
from streamclf.notify.happenings import AudioHeard, Happening, SoundHappened
from streamclf.notify.heard_time import HeardTime
from streamclf.notify.history import History, NoHistory, Told
from streamclf.notify.hours import local_day
from streamclf.notify.joined_sounds import FOLLOWS_US, JoinedSound
from streamclf.notify.messages import Message
from streamclf.notify.rules import DAY_S, MOST_REPEATS, Rule
from streamclf.notify.templates import REPEATED_OF_SEVERAL, fill_template

SETTLED_US = FOLLOWS_US
"""Audio after a moment that must have been heard before a sound surely lasted until then: half a
window and the longest pause within a sound, of the models that come with streamclf."""
QUIET_SETTLED_US = 10_000_000
"""The same before there surely was no sound: an onset lies up to three averages before its sound is
known."""
MOST_SOUNDS = 2000
"""Sounds that are there at one source, several times as many as a model has labels."""
_TICK_US = 1000
"""Moments are compared in milliseconds, which is what the store keeps of a message."""


@dataclass(slots=True)
class _Sound:
    """A sound that is there, or has just ended.

    Attributes:
        first: What was told of it first.
        surest: What was told of the event that names it best: of a narrower label, or with the
            highest score. A sound of one event has no other.
        score: Its highest score so far.
        rank: How sure its surest event has been so far (`streamclf.core.sureness.rank_sureness`).
        offset_us: When it ended; None while it sounds.
        utc_offset_min: The newest offset of the place.
        done: Names of the rules that have decided about it.
    """

    first: SoundHappened
    surest: SoundHappened
    score: float
    rank: int
    utc_offset_min: int
    offset_us: int | None = None
    done: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, happening: SoundHappened) -> _Sound:
        rank = rank_sureness(happening.sureness)
        return cls(happening, happening, happening.score, rank, happening.utc_offset_min)

    @property
    def onset_us(self) -> int:
        return self.first.onset_us

    def note(self, happening: SoundHappened) -> None:
        self.score = max(self.score, happening.score)
        self.rank = max(self.rank, rank_sureness(happening.sureness))
        self.utc_offset_min = happening.utc_offset_min
        if happening.names_better_than(self.surest):
            self.surest = happening

    def lasts_until(self, moment_us: int, heard_until_us: int) -> bool | None:
        """Whether it lasts until a moment; None while that is not known."""
        if self.offset_us is not None:
            return self.offset_us >= moment_us
        return True if heard_until_us >= moment_us + SETTLED_US else None


@dataclass(slots=True)
class _Group:
    """The newest sound of a label that rules name, with all that are narrower.

    Attributes:
        sound: The sound, from its first event to its last.
        joined: Its events.
    """

    sound: _Sound
    joined: JoinedSound = field(default_factory=JoinedSound)


@dataclass(slots=True)
class _LabelState:
    """What a rule knows of a label of a source.

    Attributes:
        told: Its last message.
        heard_us: Onset of the last sound that counted; None if there was none.
        onsets: Onsets that count for ``repeats``, since the last message.
    """

    told: Told | None
    heard_us: int | None
    onsets: deque[int]


@dataclass(slots=True)
class _QuietState:
    """What a ``quiet`` rule knows of a source.

    Attributes:
        told: Its last message.
        since_us: When the last sound ended; None if none was heard.
        since_heard_us: Heard time up to then; None while that is not known.
        label: The label that the rule asks for it by.
        name: That label as people read it.
        over: Whether this quiet has been told.
        sounding: Sounds that are there and count.
    """

    told: Told | None
    since_us: int | None = None
    since_heard_us: int | None = None
    label: str = ""
    name: str = ""
    over: bool = False
    sounding: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _SourceState:
    """What is known of a source, for all rules.

    Attributes:
        heard: Its heard time.
        sounds: Sounds that are there, by event.
        groups: The newest sounds of labels that rules name, by these.
        utc_offset_min: The newest offset of the place.
    """

    heard: HeardTime = field(default_factory=HeardTime)
    sounds: dict[str, _Sound] = field(default_factory=dict)
    groups: dict[str, _Group] = field(default_factory=dict)
    utc_offset_min: int = 0

    def join(self, asked: str, happening: SoundHappened) -> _Sound:
        """Join an event to the sound of a label that is asked for, and return that sound."""
        group, label = self.groups.get(asked), happening.label
        if group is None or group.joined.open.get(label) != happening.event_id:
            if group is None or not group.joined.goes_on_with(label, happening.onset_us):
                group = self.groups[asked] = _Group(_Sound.of(happening))
            group.joined.begin(label, happening.event_id)
            group.sound.offset_us = None
        group.sound.note(happening)
        if happening.phase == "end":
            offset_us = happening.onset_us if happening.offset_us is None else happening.offset_us
            group.sound.offset_us = group.joined.end(label, offset_us)
        return group.sound

    @property
    def heard_until_us(self) -> int:
        return self.heard.until_us or 0


class RuleBook:
    """Rules and what they know.

    Args:
        rules: The rules; each name is there once. Those about lost sources are left out, see
            `streamclf.notify.lost_sources`.
        history: What is known of the time before. It is asked once for each source and label of a
            rule.
    """

    def __init__(self, rules: Iterable[Rule], history: History | None = None) -> None:
        self._rules = _about_sounds(rules)
        self._history = history or NoHistory()
        self._sources: dict[str, _SourceState] = {}
        self._labels: dict[tuple[str, str, str], _LabelState] = {}  # rule, source, label
        self._quiets: dict[tuple[str, str], _QuietState] = {}  # rule, source

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that are about sounds."""
        return self._rules

    def change(self, rules: Iterable[Rule]) -> None:
        """Take other rules. A rule that has not changed keeps all that it knows.

        A rule that is new, or has changed, begins with what the history knows. It does not tell the
        begin of sounds that have begun before.
        """
        rules = _about_sounds(rules)
        kept = {rule.name for rule in rules if rule in self._rules}
        self._labels = {key: state for key, state in self._labels.items() if key[0] in kept}
        self._quiets = {key: state for key, state in self._quiets.items() if key[0] in kept}
        self._rules = rules
        begun = {rule.name for rule in rules if rule.on == "begin" and rule.name not in kept}
        for source in self._sources.values():
            sounds = [*source.sounds.values()]
            for sound in sounds:  # a rule that is new may ask for them by another label
                self._join(source, sound.first)
            for sound in (*sounds, *(group.sound for group in source.groups.values())):
                sound.done = sound.done & kept | begun

    def feed(self, happening: Happening) -> list[Message]:
        """Take what happened.

        Args:
            happening: It; those of one source come in order.

        Returns:
            What is to be told now.
        """
        source = self._sources.get(happening.source)
        if source is None:
            source = self._sources[happening.source] = _SourceState()
        source.utc_offset_min = happening.utc_offset_min
        if isinstance(happening, AudioHeard):
            self._begin_quiets(happening.source, source, happening.from_us)
            source.heard.add(happening.from_us, happening.until_us)
            return list(self._look_again(happening, source))
        self._begin_quiets(happening.source, source, happening.onset_us)
        return list(self._hear(happening, source))

    # ------------------------------------------------------------ sounds

    def _hear(self, happening: SoundHappened, source: _SourceState) -> Iterator[Message]:
        sound = source.sounds.get(happening.event_id)
        if sound is None:
            sound = source.sounds[happening.event_id] = _Sound.of(happening)
            while len(source.sounds) > MOST_SOUNDS:  # whose end nobody told
                del source.sounds[next(iter(source.sounds))]
        sound.note(happening)
        if happening.phase == "end":
            sound.offset_us = happening.offset_us
            del source.sounds[happening.event_id]
        joined = self._join(source, happening)
        for rule in self._rules:
            asked = rule.asks_for(happening)
            if asked is None:
                continue
            if rule.on == "quiet":
                yield from self._break_quiet(rule, asked, sound, source, happening.known_us)
            else:
                told = joined[asked] if rule.labels else sound
                yield from self._consider(rule, asked, told, source, happening.known_us)

    def _join(self, source: _SourceState, happening: SoundHappened) -> dict[str, _Sound]:
        """Join an event to the sounds of all labels that rules name and that mean it."""
        named = {said for rule in self._rules for said in rule.labels}
        meant = {happening.meant_by(said) for said in named}
        return {label: source.join(label, happening) for label in meant if label is not None}

    def _look_again(self, audio: AudioHeard, source: _SourceState) -> Iterator[Message]:
        """Look at what waits for audio: sounds that must last, and quiet."""
        waiting = [
            rule
            for rule in self._rules
            if rule.on == "ongoing" or (rule.on == "begin" and rule.lasting)
        ]
        looked_at: set[tuple[str, str]] = set()
        for sound in list(source.sounds.values()) if waiting else ():
            for rule in waiting:
                asked = rule.asks_for(sound.first)
                if asked is None or (rule.labels and (rule.name, asked) in looked_at):
                    continue
                looked_at.add((rule.name, asked))
                told = source.groups[asked].sound if rule.labels else sound
                told.utc_offset_min = audio.utc_offset_min
                yield from self._consider(rule, asked, told, source, audio.until_us)
        for rule in self._rules:
            if rule.on == "quiet" and rule.hears(audio.source):
                yield from self._consider_quiet(rule, audio.source, source, audio.until_us)

    def _consider(
        self, rule: Rule, asked: str, sound: _Sound, source: _SourceState, known_us: int
    ) -> Iterator[Message]:
        """Decide about a sound, if enough is known of it."""
        if rule.name in sound.done or not rule.is_sure(sound.score, sound.rank):
            return
        if rule.on == "ongoing":
            yield from self._tell_rounds(rule, asked, sound, source, known_us)
            return
        lasting_us = _to_us(rule.lasting)
        if rule.on == "end":
            if sound.offset_us is None or sound.offset_us - sound.onset_us < lasting_us:
                return
            moment_us = sound.offset_us
        else:
            moment_us = sound.onset_us + lasting_us
            lasts = not lasting_us or sound.lasts_until(moment_us, source.heard_until_us)
            if not lasts:
                return
        sound.done.add(rule.name)
        yield from self._count(rule, asked, sound, moment_us, known_us)

    def _count(
        self, rule: Rule, asked: str, sound: _Sound, moment_us: int, known_us: int
    ) -> Iterator[Message]:
        """Count a sound of a ``begin`` or ``end`` rule, and tell it if it may be told."""
        state, onset_us = self._state(rule, asked, sound), sound.onset_us
        if state.told is not None and state.told.moment_us == _tick(moment_us):
            return  # the process before was killed after it had told of this sound
        heard_us, state.heard_us = state.heard_us, onset_us
        if rule.within is not None:
            state.onsets.append(onset_us)
            while onset_us - state.onsets[0] > _to_us(rule.within):
                state.onsets.popleft()
        rare_us = (rule.rare or 0) * DAY_S * 1_000_000
        if heard_us is not None and 0 <= onset_us - heard_us < rare_us:
            return
        if rule.within is not None and len(state.onsets) < rule.repeats:
            return
        zone = sound.utc_offset_min
        if rule.opening is not None and not rule.opening.hold(moment_us, zone):
            return
        if not _is_over(rule, state.told, moment_us, zone):
            return
        count = len(state.onsets) if rule.within is not None else 1
        state.told = Told(_tick(moment_us), zone)
        state.onsets.clear()
        yield self._tell(rule, asked, sound, moment_us, known_us, count)

    def _tell_rounds(
        self, rule: Rule, asked: str, sound: _Sound, source: _SourceState, known_us: int
    ) -> Iterator[Message]:
        """Tell the rounds of an ``ongoing`` rule that are due."""
        state, zone = self._state(rule, asked, sound), sound.utc_offset_min
        first_us = sound.onset_us + _to_us(rule.lasting)
        while True:
            now_us = max(known_us, source.heard_until_us)
            due_us = _due_us(rule, state.told, first_us, zone, now_us)
            if due_us == sound.onset_us:  # what has begun is there
                lasts: bool | None = True
            else:
                lasts = sound.lasts_until(due_us, source.heard_until_us)
            if not lasts:
                return
            state.told = Told(_tick(due_us), zone)
            yield self._tell(rule, asked, sound, due_us, known_us)

    def _state(self, rule: Rule, asked: str, sound: _Sound) -> _LabelState:
        """What a rule knows of a label that it asks for; the history tells it at first."""
        source, onset_us = sound.first.source, sound.onset_us
        key = (rule.name, source, asked)
        state = self._labels.get(key)
        if state is None:
            history, labels = self._history, rule.labels_of(asked, sound.first.vocabulary)
            told, heard_us = history.last_told(rule, source, asked), None
            onsets: deque[int] = deque(maxlen=MOST_REPEATS)
            if rule.rare is not None:
                heard_us = history.last_heard(rule, source, labels, onset_us)
            if rule.within is not None:
                since_us = onset_us - _to_us(rule.within)
                if told is not None:  # what a message has counted does not count again
                    since_us = max(since_us, told.moment_us + _TICK_US)
                onsets.extend(history.onsets(rule, source, labels, since_us, onset_us))
            state = self._labels[key] = _LabelState(told, heard_us, onsets)
        return state

    # ------------------------------------------------------------ quiet

    def _begin_quiets(self, name: str, source: _SourceState, before_us: int) -> None:
        """Begin what ``quiet`` rules know of a source with what the history knows."""
        fresh: list[_QuietState] = []
        for rule in self._rules:
            if rule.on != "quiet" or not rule.hears(name) or (rule.name, name) in self._quiets:
                continue
            past = self._history.last_sound(rule, name, before_us)
            state = self._quiets[rule.name, name] = _QuietState(None)
            if past is None:
                continue
            label = past.label if len(rule.labels) == 1 else ""
            state.told = self._history.last_told(rule, name, label)
            state.since_us, state.label, state.name = past.offset_us, past.label, past.name
            state.over = state.told is not None and state.told.moment_us > past.offset_us
            fresh.append(state)
        if fresh and source.heard.until_us is None:
            since_us = min(state.since_us or 0 for state in fresh)
            for span in self._history.heard_spans(name, since_us, before_us):
                source.heard.add(*span)

    def _break_quiet(
        self, rule: Rule, asked: str, sound: _Sound, source: _SourceState, known_us: int
    ) -> Iterator[Message]:
        """End the quiet of a source with a sound, and begin it anew when the sound has ended."""
        if not rule.is_sure(sound.score, sound.rank):
            return
        name, event_id = sound.first.source, sound.first.event_id
        state = self._quiets[rule.name, name]
        if rule.name not in sound.done:
            sound.done.add(rule.name)
            # It may have been quiet for long enough before, and not be told yet.
            yield from self._tell_quiet(rule, name, source, sound.onset_us, known_us)
            state.sounding.add(event_id)
            state.over = False
        if sound.offset_us is not None:
            state.sounding.discard(event_id)
            if state.since_us is None or sound.offset_us > state.since_us:
                state.since_us, state.since_heard_us = sound.offset_us, None
                state.label, state.name = asked, _name(asked, sound.first)

    def _consider_quiet(
        self, rule: Rule, name: str, source: _SourceState, known_us: int
    ) -> Iterator[Message]:
        """Tell that it is quiet, if no sound is there that may count."""
        if any(rule.asks_for(each.first) is not None for each in source.sounds.values()):
            return
        yield from self._tell_quiet(
            rule, name, source, source.heard_until_us - QUIET_SETTLED_US, known_us
        )

    def _tell_quiet(
        self, rule: Rule, name: str, source: _SourceState, until_us: int, known_us: int
    ) -> Iterator[Message]:
        """Tell that it is quiet, if it was due up to a moment and is not told yet."""
        state = self._quiets[rule.name, name]
        if state.since_us is None or state.over or state.sounding:
            return
        if source.heard_until_us < state.since_us:
            return
        if state.since_heard_us is None:
            state.since_heard_us = source.heard.at(state.since_us)
        reached_us = source.heard.reached(state.since_heard_us + _to_us(rule.lasting))
        if reached_us is None:
            return
        zone = source.utc_offset_min
        now_us = max(known_us, source.heard_until_us)
        due_us = _due_us(rule, state.told, reached_us, zone, now_us)
        if due_us > until_us:
            return
        state.told, state.over = Told(_tick(due_us), zone), True
        one = len(rule.labels) == 1
        message = Message(
            token=_token(rule, name, "", due_us),
            rule=rule.name,
            on="quiet",
            source=name,
            label=state.label if one else "",
            name=state.name if one else " or ".join(rule.labels) or "sound",
            text="",
            told_us=known_us,
            utc_offset_min=zone,
            targets=rule.to,
            onset_us=state.since_us,
            moment_us=due_us,
        )
        yield replace(message, text=fill_template(rule.template, message, due_us))

    # ------------------------------------------------------------ messages

    def _tell(
        self,
        rule: Rule,
        asked: str,
        sound: _Sound,
        moment_us: int,
        known_us: int,
        count: int = 1,
    ) -> Message:
        first = sound.first
        # A begin is told by the event that was known first, or by the one that is sure enough.
        heard = first if rule.on == "begin" and not rule.waits_for_score else sound.surest
        other = asked != heard.label
        message = Message(
            token=_token(rule, first.source, first.event_id, moment_us),
            rule=rule.name,
            on=rule.on,
            source=first.source,
            label=heard.label,
            name=heard.name,
            text="",
            told_us=known_us,
            utc_offset_min=sound.utc_offset_min,
            targets=rule.to,
            event_id=first.event_id,
            score=sound.score,
            sureness=(sound.surest if sound.surest.label == heard.label else heard).sureness,
            onset_us=sound.onset_us,
            offset_us=sound.offset_us if rule.on == "end" else None,
            count=count,
            moment_us=moment_us,
            asked=asked if other else None,
            asked_name=_name(asked, heard) if other else None,
        )
        several = rule.message is None and rule.repeats > 1 and heard.is_narrower_than(asked)
        template = REPEATED_OF_SEVERAL if several else rule.template
        return replace(message, text=fill_template(template, message, moment_us))


def _name(label: str, happening: SoundHappened) -> str:
    """The name that people read for a label that is asked for."""
    if label == happening.label:
        return happening.name
    return label if happening.vocabulary is None else happening.vocabulary.show(label)


def _about_sounds(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules if rule.on != "lost")


def _is_over(rule: Rule, told: Told | None, moment_us: int, zone: int) -> bool:
    """Whether a rule may tell again: after its cooldown, and on another day."""
    if told is None:
        return True
    told_day = local_day(told.moment_us, told.utc_offset_min)
    if rule.first_of_day and told_day == local_day(moment_us, zone):
        return False
    passed_us = _tick(moment_us) - told.moment_us
    return not 0 <= passed_us < _to_us(rule.cooldown)  # below 0: the clock was set back


def _due_us(rule: Rule, told: Told | None, moment_us: int, zone: int, now_us: int) -> int:
    """The first moment, from one on, at which a rule may tell: after its cooldown, in its hours."""
    if told is not None and told.moment_us <= now_us:  # else the clock was set back
        moment_us = max(moment_us, told.moment_us + _to_us(rule.cooldown))
    return moment_us if rule.opening is None else rule.opening.next_us(moment_us, zone)


def _token(rule: Rule, source: str, event: str, moment_us: int) -> str:
    """Make the identifier of a message; the same if it is made again from the same sound."""
    said = "\0".join([rule.name, rule.on, source, event, str(_tick(moment_us))])
    return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _tick(moment_us: int) -> int:
    return moment_us // _TICK_US * _TICK_US


def _to_us(seconds: float) -> int:
    return round(seconds * 1_000_000)
