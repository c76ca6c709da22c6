"""Which of several audio tracks is heard, and who writes to standard error meanwhile."""

from __future__ import annotations

import os
import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import prepared
import pytest
from readings import check_contiguous, read
from test_lying_headers import NOISE, notices

from streamclf.core.records import Block

RATE = 16_000
SOUND = np.random.default_rng(0).normal(0, 3000, 3 * RATE).astype(np.int16)


def two_tracks(path: Path, first_codec: bytes) -> Path:
    """A sound in two tracks, of which the first calls its coding by another name."""
    name = b"A_PCM/INT/LIT"
    with av.open(str(path), "w", format="matroska") as container:
        streams = [container.add_stream("pcm_s16le", rate=RATE) for _ in range(2)]
        for stream in streams:
            stream.layout = "mono"
        for first in range(0, len(SOUND), 1600):
            piece = np.ascontiguousarray(SOUND[np.newaxis, first : first + 1600])
            for factor, stream in enumerate(streams, 1):
                frame = av.AudioFrame.from_ndarray(piece // factor, format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE, first, Fraction(1, RATE)
                container.mux(stream.encode(frame))
    path.write_bytes(path.read_bytes().replace(name, first_codec.ljust(len(name), b"\0"), 1))
    return path


@pytest.mark.parametrize(
    ("codec", "message"),
    [
        (b"A_NOBODY/KNOW", "track 1 is in a coding that FFmpeg does not know: track 2 is heard"),
        (b"A_FLAC", "track 1 cannot be decoded: the next one is heard"),
        (b"A_AAC", "track 1 cannot be decoded: the next one is heard"),
    ],
)
def test_a_first_track_that_cannot_be_decoded_gives_way_to_the_second(tmp_path, codec, message):
    items, error = read(two_tracks(tmp_path / "x.mka", codec))
    assert error == ""
    assert message in notices(items)
    check_contiguous(items)
    heard = np.concatenate([i.waveform[0] for i in items if isinstance(i, Block)])
    np.testing.assert_allclose(heard, SOUND // 2 / np.float32(32768))


def test_the_first_of_two_good_tracks_is_heard_and_a_line_says_so(tmp_path):
    items, error = read(two_tracks(tmp_path / "x.mka", b"A_PCM/INT/LIT"))
    assert error == ""
    assert notices(items).startswith("it has 2 audio tracks, of which the first is heard")
    heard = np.concatenate([i.waveform[0] for i in items if isinstance(i, Block)])
    np.testing.assert_allclose(heard, SOUND / np.float32(32768))


def damaged_mp3(path: Path) -> Path:
    """Of 16 kHz, as dictaphones make them, its side information overwritten here and there."""
    with av.open(str(path), "w", options={"write_xing": "0"}) as container:
        stream = container.add_stream("libmp3lame", rate=RATE)
        stream.layout, stream.bit_rate = "mono", 24_000
        sound = np.ascontiguousarray(NOISE[np.newaxis, : 10 * RATE])
        frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    for at in range(2000, len(data), 3000):
        data[at : at + 40] = b"\xff" * 40
    path.write_bytes(data)
    return path


def test_nobody_but_streamclf_writes_to_standard_error(tmp_path, tone_model):
    path, tag, junk = damaged_mp3(tmp_path / "x.mp3"), tmp_path / "tag.mp3", tmp_path / "junk.mp3"
    tag.write_bytes(b"ID3\x03\0\0\0\0\0\0" + bytes(5000))
    junk.write_bytes(random.Random(0).randbytes(100_000))
    command = ("file", path, tag, junk, "--log-format", "json", "--model", tone_model)
    found = prepared.run(*command, capture_output=True, text=True, env=os.environ)
    lines = found.stderr.splitlines()
    assert lines
    assert [line for line in lines if not line.startswith("{")] == []
