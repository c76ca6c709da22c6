"""Any bytes as audio: heard, or refused in a line; windows do not depend on the blocks."""

import io
import itertools

import numpy as np
import pytest
import toys
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fuzz import MORE, error_of, numbers

from streamclf.core.card import Thresholds
from streamclf.core.errors import SourceError, UsageError
from streamclf.core.records import Average, Block, Change, Gap, Notice, Window
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.windows import slide
from streamclf.sources.stream.raw_format import RawFormat
from streamclf.sources.stream.standard_input import StandardInput


class OddReads(io.RawIOBase):
    """A pipe that gives as many bytes as it pleases."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data, self._sizes = data, itertools.cycle(sizes)

    def read1(self, size: int) -> bytes:
        size = min(size, next(self._sizes))
        data, self._data = self._data[:size], self._data[size:]
        return data


@settings(max_examples=300 * MORE, deadline=None)
@given(
    st.one_of(
        st.text(max_size=30),
        st.tuples(
            st.sampled_from(["u8", "s16le", "S24BE", "f32", "f64le", "s12", "f8"]),
            st.one_of(st.text(max_size=5), numbers.map(str)),
            st.one_of(st.text(max_size=5), numbers.map(str)),
        ).map(":".join),
    )
)
def test_any_text_as_a_raw_format_is_read_or_refused_in_a_line(text):
    message = error_of(UsageError, lambda: RawFormat.parse(text))
    if not message:
        raw = RawFormat.parse(text)
        assert raw.sample_rate >= 1
        assert 1 <= raw.n_channels <= 64


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tones.onnx"
    return Classifier(Model(toys.write_tone_detector(path, toys.toy_card()), provider="cpu"))


@settings(max_examples=150 * MORE, deadline=None)
@given(
    name=st.sampled_from(["u8", "s8", "s16le", "s24be", "s32le", "f32be", "f32le", "f64le"]),
    rate=st.sampled_from([1, 7, 8000, 16_000, 44_100, 192_000, 9_999_999]),
    channels=st.integers(1, 64),
    content=st.binary(max_size=3000),
    sizes=st.lists(st.integers(1, 700), min_size=1, max_size=5),
)
def test_any_bytes_as_raw_audio_are_heard(tones, name, rate, channels, content, sizes):
    raw = RawFormat.parse(f"{name}:{rate}:{channels}")
    results = []

    def hear(file) -> None:
        engine = Engine(tones)
        results.append(list(engine.run(StandardInput(raw, file))))

    message = error_of(SourceError, lambda: hear(OddReads(content, sizes)))
    n_frames = len(content) // raw.frame_bytes
    if not n_frames:
        assert "ended before one sample came" in message
        return
    assert not message
    hear(io.BytesIO(content))
    odd, even = ([r for r in found if isinstance(r, Average)] for found in results)
    assert [r.position for r in odd] == [r.position for r in even]
    for one, other in zip(odd, even, strict=True):
        assert np.isfinite(one.values).all()
        np.testing.assert_allclose(one.values, other.values, atol=1e-5)


def wav_header() -> bytes:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.zeros(400, np.int16), 8000, format="WAV")
    return file.getvalue()


@settings(max_examples=100 * MORE, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=5),
    cut=st.integers(0, 844),
)
def test_any_bytes_as_encoded_audio_are_heard_or_refused_in_a_line(tones, changes, cut):
    content = bytearray(wav_header())
    for place, value in changes:
        content[place] = value
    source = StandardInput(None, io.BytesIO(bytes(content[: len(content) - cut])))
    error_of(SourceError, lambda: list(Engine(tones).run(source)))


pieces = st.lists(
    st.one_of(
        st.tuples(st.just("audio"), st.integers(1, 200)),
        st.tuples(st.just("gap"), st.integers(1, 90)),
        st.tuples(st.just("hop"), st.integers(1, 80)),
        st.tuples(st.just("notice"), st.just(0)),
    ),
    max_size=8,
)


def stream(pieces, cuts) -> list:
    """Audio in blocks cut anywhere; each sample holds its own position."""
    items, position = [], 0
    for kind, size in pieces:
        if kind == "audio":
            edges = {
                position,
                position + size,
                *(c for c in cuts if position < c < position + size),
            }
            for a, b in itertools.pairwise(sorted(edges)):
                items.append(Block(a, np.arange(a + 1, b + 1, dtype=np.float32)[None], 100))
            position += size
        elif kind == "gap":
            items.append(Gap(position, size, 100, "test"))
            position += size
        elif kind == "hop":
            items.append(Change(position, size, 0, Thresholds()))
        else:
            items.append(Notice(position, 100, "hello"))
    return items


@settings(max_examples=400 * MORE, deadline=None)
@given(
    pieces=pieces,
    cuts=st.lists(st.integers(0, 1600), max_size=30),
    window=st.integers(1, 60),
    hop=st.integers(1, 60),
)
def test_any_stream_gives_the_same_windows_in_any_blocks(pieces, cuts, window, hop):
    whole = list(slide(stream(pieces, []), window, hop))
    cut = list(slide(stream(pieces, cuts), window, hop))
    # A change of the hop holds from the first window that is not full yet, wherever a block ends.
    assert [as_tuple(item) for item in cut] == [as_tuple(item) for item in whole]
    missing = {p for item in whole if isinstance(item, Gap) for p in range(item.position, item.end)}
    for item in whole:
        if isinstance(item, Window):
            heard = range(item.position, item.end)
            assert not missing.intersection(heard)
            inside = item.waveform
            if item.n_samples < window:  # alone in its stretch: mirrored around it
                inside = inside[(window - item.n_samples) // 2 :][: item.n_samples]
                assert set(item.waveform) == set(inside)
            np.testing.assert_array_equal(inside, np.array(heard) + 1)


def as_tuple(item):
    if isinstance(item, Window):
        return (item.position, item.n_samples, item.waveform.tobytes())
    return item
