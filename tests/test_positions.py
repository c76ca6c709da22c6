"""Positions in a container are those that a player shows, wherever its time stamps begin."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from readings import check_contiguous, read

from streamclf.core.records import Block, Gap

RATE = 48_000
SOUND = np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32)


def write(
    path: Path, codec: str, *, audio_s: float = 0.0, video_s: float | None = None, length_s: int = 5
) -> Path:
    """Write a sound whose first time stamp is ``audio_s``, beside a video from ``video_s`` on."""
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as container:
        packets = []
        if video_s is not None:
            video = container.add_stream("mpeg4", rate=10)
            video.width = video.height = 32
            video.pix_fmt = "yuv420p"
        stream = container.add_stream(codec, rate=RATE)
        stream.layout = "mono"
        if video_s is not None:
            for i in range(10 * length_s):
                image = np.full((32, 32, 3), i, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, 10)
                packets += [(p, video_s) for p in video.encode(frame)]
            packets += [(p, video_s) for p in video.encode(None)]
        resampler = av.AudioResampler(stream.codec_context.format, "mono", RATE)
        for first in range(0, len(SOUND), 960):
            piece = np.ascontiguousarray(SOUND[np.newaxis, first : first + 960])
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, first, Fraction(1, RATE)
            for converted in resampler.resample(frame):
                packets += [(p, audio_s) for p in stream.encode(converted)]
        packets += [(p, audio_s) for p in stream.encode(None)]
        for packet, shift_s in packets:
            shift = round(shift_s / packet.time_base)
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        for packet, _ in sorted(packets, key=lambda pair: pair[0].dts * pair[0].time_base):
            container.mux(packet)
    return path


def heard(items: list) -> float:
    return sum(i.n_samples for i in items if isinstance(i, Block)) / RATE


CONTAINERS = [("mkv", "pcm_s16le"), ("mka", "libopus"), ("webm", "libopus"), ("ogg", "libopus")]


@pytest.mark.parametrize(("ending", "codec"), [*CONTAINERS, ("ts", "aac"), ("m4a", "aac")])
@pytest.mark.parametrize("offset_s", [0.0, 100.0])
def test_a_segment_that_keeps_its_streams_time_stamps_begins_at_0(
    tmp_path, ending, codec, offset_s
):
    items, error = read(write(tmp_path / f"x.{ending}", codec, audio_s=offset_s))
    assert error == ""
    check_contiguous(items)
    assert [i for i in items if isinstance(i, Gap)] == []
    assert heard(items) == pytest.approx(5, abs=0.06)


@pytest.mark.parametrize(("ending", "codec"), [("mkv", "pcm_s16le"), ("mp4", "aac"), ("ts", "aac")])
@pytest.mark.parametrize("begin_s", [0.0, 50.0])
def test_audio_that_begins_behind_the_video_lies_where_a_player_has_it(
    tmp_path, ending, codec, begin_s
):
    path = write(tmp_path / f"x.{ending}", codec, audio_s=begin_s + 3.98, video_s=begin_s)
    items, error = read(path)
    assert error == ""
    check_contiguous(items)
    (gap,) = [i for i in items if isinstance(i, Gap)]
    assert (gap.position, gap.cause) == (0, "late start")
    assert gap.n_samples / RATE == pytest.approx(3.98, abs=0.06)
    assert items[-1].end / RATE == pytest.approx(8.98, abs=0.08)


@pytest.mark.skipif(os.name == "nt", reason="pipes have other names there")
@pytest.mark.parametrize(("ending", "codec"), [("mkv", "pcm_s16le"), ("ts", "aac")])
def test_audio_that_begins_behind_the_video_lies_there_in_a_pipe_too(tmp_path, ending, codec):
    path = write(tmp_path / f"x.{ending}", codec, audio_s=3.98, video_s=0)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as writer:
        written = writer.submit(lambda: pipe.write_bytes(path.read_bytes()))
        items, error = read(pipe)
    written.result()
    assert error == ""
    expected = [i for i in read(path)[0] if isinstance(i, Gap)]
    assert [i.cause for i in expected] == ["late start"]
    assert [i for i in items if isinstance(i, Gap)] == expected
    assert heard(items) == heard(read(path)[0])


def test_audio_that_begins_before_the_video_begins_at_0(tmp_path):
    items, error = read(write(tmp_path / "x.mkv", "pcm_s16le", audio_s=1, video_s=3))
    assert error == ""
    assert {type(i) for i in items} == {Block}


@pytest.mark.parametrize(("ending", "codec"), [("mkv", "pcm_s16le"), ("webm", "libopus")])
def test_a_segment_cut_short_lacks_what_it_lacks_alone(tmp_path, ending, codec):
    """The offset of its time stamps is no audio that is missing."""
    path = write(tmp_path / f"x.{ending}", codec, audio_s=100)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    items, error = read(path)
    assert "is cut short" in error
    assert items[-1].end / RATE == pytest.approx(5, abs=0.06)
    assert items[-1].cause == "truncated"


@pytest.mark.parametrize(("ending", "codec"), [("mkv", "pcm_s16le"), ("avi", "pcm_s16le")])
def test_a_video_cut_short_does_not_lose_its_sound_without_a_word(tmp_path, ending, codec):
    """Beside a video the audio's own length is not told; the missing bytes are."""
    path = write(tmp_path / f"x.{ending}", codec, video_s=0)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    items, error = read(path)
    assert 1 < heard(items) < 4
    assert "is cut short" in error
