"""Streams of happenings for tests: as a box lives through them, and as its store remembers them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

from hypothesis import strategies as st
from stores import RATE, Heard, Run, make_store

from streamclf.core.sureness import tell_sureness
from streamclf.core.vocabulary import Vocabulary
from streamclf.notify.happenings import AudioHeard, Happening, SoundHappened

PLACE = timezone(timedelta(hours=1))
BEGUN = datetime(2026, 11, 21, 21, 0, tzinfo=PLACE)
BEGUN_US = round(BEGUN.timestamp()) * 1_000_000
NAMES = {"dog": "Dog", "cat": "House cat"}
SHOWN = {**NAMES, "alarm": "Alarm", "siren": "Siren", "bell": "Bell"}
BROADER = {"siren": ["alarm"], "bell": ["alarm"]}
SURENESS = {"dog": [0.3, 0.42], "cat": [0.42, 0.85], "siren": [0.3, 0.6]}
VOCABULARY = Vocabulary(SHOWN, BROADER)


def us(seconds: float) -> int:
    """Microseconds since 1970 at some seconds after the begin of all streams."""
    return BEGUN_US + round(seconds * 1e6)


@dataclass(frozen=True)
class Sound:
    """A sound: seconds from the begin of the streams, and when its begin and end were known."""

    label: str
    onset_s: float
    length_s: float
    score: float = 0.9
    begin_known_s: float = 0.5
    end_known_s: float = 1.0

    @property
    def offset_s(self) -> float:
        return self.onset_s + self.length_s

    @property
    def id(self) -> str:
        return f"{self.label}-{round(self.onset_s * RATE)}@"


@dataclass(frozen=True)
class Hearing:
    """What one source heard: sounds, and gaps as pairs of begin and length."""

    source: str
    heard_s: float
    sounds: tuple[Sound, ...] = ()
    gaps: tuple[tuple[float, float], ...] = ()
    pieces_s: float = 10.0

    @property
    def spans(self) -> list[tuple[float, float]]:
        found, begin_s = [], 0.0
        for gap_s, length_s in self.gaps:
            found.append((begin_s, gap_s))
            begin_s = gap_s + length_s
        return [*found, (begin_s, self.heard_s + sum(length for _, length in self.gaps))]


def begin(source: str, sound: Sound) -> SoundHappened:
    return SoundHappened(
        "begin", sound.id, source, sound.label, SHOWN.get(sound.label, sound.label),
        sound.score / 2, us(sound.onset_s), us(sound.onset_s + sound.begin_known_s), None, 60,
        VOCABULARY, tell_sureness(SURENESS, sound.label, sound.score / 2),
    )  # fmt: skip


def end(source: str, sound: Sound) -> SoundHappened:
    return replace(
        begin(source, sound), phase="end", score=sound.score, offset_us=us(sound.offset_s),
        known_us=us(sound.offset_s + sound.end_known_s),
        sureness=tell_sureness(SURENESS, sound.label, sound.score),
    )  # fmt: skip


def heard(source: str, from_s: float, until_s: float) -> AudioHeard:
    return AudioHeard(source, us(from_s), us(until_s), 60)


def live(hearing: Hearing) -> list[Happening]:
    """What happens at a source, in the order in which it is known."""
    timed: list[tuple[float, int, Happening]] = []
    for sound in hearing.sounds:
        begun_s = min(sound.onset_s + sound.begin_known_s, sound.offset_s + sound.end_known_s)
        timed.append((begun_s, 1, begin(hearing.source, sound)))
        timed.append((sound.offset_s + sound.end_known_s, 2, end(hearing.source, sound)))
    stops_s = {at_s for at_s, _, _ in timed}  # audio is told before what was found in it
    for first_s, end_s in hearing.spans:
        n_pieces = int((end_s - first_s) / hearing.pieces_s)
        places_s = stops_s | {first_s + i * hearing.pieces_s for i in range(n_pieces + 1)}
        places = sorted({at_s for at_s in places_s if first_s < at_s < end_s} | {first_s, end_s})
        timed += [(b, 0, heard(hearing.source, a, b)) for a, b in pairwise(places)]
    return [happening for _, _, happening in sorted(timed, key=lambda each: each[:2])]


def remember(path: Path, hearings: Iterable[Hearing]) -> Path:
    """Make the store of what was heard."""
    runs = [
        Run(
            hearing.source, BEGUN, hearing.heard_s,
            [
                Heard(
                    s.label, s.onset_s, s.length_s, s.score,
                    known_after_s=min(s.begin_known_s, s.length_s + s.end_known_s),
                )
                for s in hearing.sounds
            ],
            [(onset_s, length_s, "overflow") for onset_s, length_s in hearing.gaps],
            display_names=SHOWN,
            broader=BROADER,
            sureness=SURENESS,
        )
        for hearing in hearings
    ]  # fmt: skip
    return make_store(path, runs)


@st.composite
def hearings(draw: st.DrawFn, source: str = "yard") -> Hearing:
    """What a source may hear in an hour or two: sounds of two labels that do not overlap."""
    gaps, sounds, begin_s = [], [], 5.0
    for _ in range(draw(st.integers(0, 3))):
        begin_s += draw(st.sampled_from([0.5, 10, 100, 700, 2000]))
        length_s = draw(st.sampled_from([0.5, 30, 600]))
        gaps.append((begin_s, length_s))
        begin_s += length_s
    end_s = begin_s + draw(st.sampled_from([1, 60, 1000, 4000]))
    free = [(a, b) for a, b in _spans(gaps, end_s) if b - a > 2]
    for label in NAMES:
        for first_s, last_s in free:
            at_s = first_s
            for _ in range(draw(st.integers(0, 4))):
                at_s += draw(st.sampled_from([0.25, 3, 4.5, 20, 61, 290, 600]))
                length_s = draw(st.sampled_from([0.5, 2, 4.999, 5, 7, 12, 100, 700]))
                if at_s + length_s > last_s:
                    break
                sounds.append(
                    Sound(
                        label, at_s, length_s, draw(st.sampled_from([0.4, 0.8, 0.9])),
                        draw(st.sampled_from([0.25, 2.0, 8.5])),
                        min(draw(st.sampled_from([0.1, 2.4])), last_s - at_s - length_s),
                    )
                )  # fmt: skip
                at_s += length_s + sounds[-1].end_known_s
    heard_s = end_s - sum(length_s for _, length_s in gaps)
    ordered = tuple(sorted(sounds, key=lambda sound: sound.onset_s))
    return Hearing(source, heard_s, ordered, tuple(gaps))


def _spans(gaps: list[tuple[float, float]], end_s: float) -> list[tuple[float, float]]:
    return Hearing("", end_s - sum(length_s for _, length_s in gaps), gaps=tuple(gaps)).spans
