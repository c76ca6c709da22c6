"""A pause of a source: nothing is heard, and nothing is unaccounted for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.base import Source
from streamclf.sources.pause import PAUSED, Pause
from streamclf.sources.retried import RetriedSource

RATE = 8000


def block(position: int, n_samples: int, rate: int = RATE) -> Block:
    return Block(position, np.zeros((1, n_samples), np.float32), rate)


@given(
    st.lists(
        st.tuples(st.integers(1, 500), st.booleans(), st.sampled_from(["block", "gap", "notice"])),
        max_size=40,
    )
)
def test_audio_and_gaps_stay_without_a_break(steps: list[tuple[int, bool, str]]) -> None:
    pause, position, out, heard = Pause(), 0, [], 0
    for n_samples, paused, kind in steps:
        pause.on = paused
        if kind == "notice":
            out += pause.filter(Notice(position, RATE, "a word"))
            continue
        item = block(position, n_samples)
        if kind == "gap":
            item = Gap(position, n_samples, RATE, "overflow")
        elif not paused:
            heard += n_samples
        out += pause.filter(item)
        position += n_samples
    out += pause.rest()
    items = [item for item in out if not isinstance(item, Notice)]
    reached = 0
    for item in items:
        assert item.position == reached
        reached = item.end
    assert reached == position
    assert sum(item.n_samples for item in items if isinstance(item, Block)) == heard


def test_a_long_pause_is_two_gaps_and_gives_signs_of_life() -> None:
    signs: list[None] = []
    pause = Pause(lambda: signs.append(None))
    pause.on = True
    out = [item for n in range(1000) for item in pause.filter(block(n * 80, 80))]
    assert out == [Gap(0, 80, RATE, PAUSED)]  # at once, so that events end
    assert len(signs) == 999
    pause.on = False
    assert next(pause.filter(block(80_000, 80))) == Gap(80, 79_920, RATE, PAUSED)


def test_another_sample_rate_begins_another_gap() -> None:
    pause = Pause()
    pause.on = True
    out = [*pause.filter(block(0, 80)), *pause.filter(block(80, 80))]
    out += pause.filter(block(320, 160, 2 * RATE))
    assert out == [
        Gap(0, 80, RATE, PAUSED), Gap(80, 80, RATE, PAUSED), Gap(320, 160, 2 * RATE, PAUSED),
    ]  # fmt: skip


class _Fixed(Source):
    live = True
    name = "fixed"

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        for n in range(10):
            yield block(n * 100, 100)


def test_a_retried_source_accounts_for_a_pause_to_its_end() -> None:
    source = RetriedSource("kitchen", _Fixed)
    items = source.blocks(RATE)
    first = next(items)
    assert isinstance(first, Block)
    source.paused = True
    assert list(items) == [Gap(100, 100, RATE, PAUSED), Gap(200, 800, RATE, PAUSED)]


def test_a_retried_source_accounts_for_a_pause_at_a_cut() -> None:
    source = RetriedSource("kitchen", _Fixed)
    source.paused = True
    items = source.blocks(RATE)
    assert next(items) == Gap(0, 100, RATE, PAUSED)
    source.cut()
    assert list(items) == []
    source.paused = False
    assert next(source.blocks(RATE)).position == 100
