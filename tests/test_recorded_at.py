"""When a recording began: what recorders write into files and names."""

import json
import struct
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile
import toys
from hypothesis import given
from hypothesis import strategies as st

from streamclf.sources.recorded_at import recorded_at
from streamclf.sources.recording import Recording


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def bext(date: str, time: str) -> bytes:
    return chunk(b"bext", b"a scene".ljust(320, b"\0") + (date + time).encode() + b"\0" * 300)


def add(path: Path, *chunks: bytes) -> Path:
    """Append chunks to a WAV, as recorders do."""
    whole = path.read_bytes() + b"".join(chunks)
    path.write_bytes(whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:])
    return path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("20240601_043000", "2024-06-01T04:30:00"),  # AudioMoth
        ("20240601_043000T", "2024-06-01T04:30:00"),  # AudioMoth, triggered
        ("SM304472_0+1_20210715_213000_000", "2021-07-15T21:30:00"),  # Song Meter
        ("S4A01234_20230101_235959", "2023-01-01T23:59:59"),
        ("20190621T043000+1000_REC", "2019-06-21T04:30:00+10:00"),  # Frontier Labs
        ("20190621T043000-03:30", "2019-06-21T04:30:00-03:30"),
        ("20190621T043000Z", "2019-06-21T04:30:00+00:00"),
        ("site 3 2024-06-01 04.30.00", "2024-06-01T04:30:00"),
        ("2024-06-01_04-30-00-part2", "2024-06-01T04:30:00"),
        ("20240601_043000-0100", "2024-06-01T04:30:00"),  # the hundredth, or an hour west
        ("99999999_999999_20240601_043000", "2024-06-01T04:30:00"),
        ("20240229_120000", "2024-02-29T12:00:00"),
        ("20230229_120000", None),
        ("20240601_043060", None),
        ("19700101_000000", None),  # the clock was never set
        ("00010101_000000", None),
        ("20240601", None),
        ("1-100032-A-0", None),
        ("202406011_043000", None),
        ("120240601_043000", None),
        ("20240601_0430001", None),
        ("2024-0601_043000", None),
    ],
)
def test_a_name_tells_when_a_recording_began(tmp_path, name, said):
    time = recorded_at(tmp_path / f"{name}.wav")
    assert (time and time.isoformat()) == said


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("Recorded at 19:17:30 10/12/2021 (UTC) by AudioMoth 24E1", "2021-12-10T19:17:30+00:00"),
        ("Recorded at 19:17:30 10/12/2021 (UTC+1) by AudioMoth 2", "2021-12-10T19:17:30+01:00"),
        ("Recorded at 19:17:30 10/12/2021 (UTC-5:30) by AudioMoth", "2021-12-10T19:17:30-05:30"),
        ("Recorded at 19:17:30.250 10/12/2021 (UTC) by", "2021-12-10T19:17:30.250000+00:00"),
        ("Recorded at 19:17:30 10/12/2021 by AudioMoth 24E14403", "2021-12-10T19:17:30"),
        ("Recorded at 25:17:30 10/12/2021 (UTC) by AudioMoth", None),
        ("Recorded at 19:17:30 10/12/2021 (UTC+99) by AudioMoth", None),
        ("Recorded at 19:17:30 10/12/2021 (UTCx) by AudioMoth", None),
        ("rain on the roof", None),
    ],
)  # fmt: skip
def test_a_comment_tells_when_a_recording_began(tmp_path, comment, said):
    time = recorded_at(tmp_path / "x.wav", comment)
    assert (time and time.isoformat()) == said
    with soundfile.SoundFile(tmp_path / "x.wav", "w", 8000, 1) as file:
        file.comment = comment
        file.write(np.zeros(8000, np.float32))
    with Recording(tmp_path / "x.wav") as recording:
        assert recording.started == time


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ([bext("2022-03-04", "05:06:07")], "2022-03-04T05:06:07"),
        ([bext("2022:03:04", "05-06-07")], "2022-03-04T05:06:07"),
        ([bext("2022-13-04", "05:06:07")], None),
        ([bext("", "")], None),
        ([chunk(b"bext", b"short")], None),
        ([chunk(b"guan", b"Version: 1\nTimestamp: 2016-02-11T21:14:33.123-08:00\r\nMake: x")],
         "2016-02-11T21:14:33.123000-08:00"),
        ([chunk(b"guan", b"Timestamp:2016-02-11 21:14:33")], "2016-02-11T21:14:33"),
        ([chunk(b"guan", b"Timestamp: yesterday")], None),
        ([chunk(b"guan", b"Note: no Timestamp: 2016-02-11 21:14:33")], None),
        ([chunk(b"junk", b"odd"), bext("2022-03-04", "05:06:07")], "2022-03-04T05:06:07"),
        ([bext("2022-03-04", "05:06:07"), chunk(b"guan", b"Timestamp: 2016-02-11T21:14:33Z")],
         "2016-02-11T21:14:33+00:00"),
    ],
)  # fmt: skip
def test_a_chunk_tells_when_a_recording_began(write_wav, chunks, said):
    path = add(write_wav(toys.tone(440, 0.5), "x.wav"), *chunks)
    with Recording(path) as recording:
        assert (recording.started and recording.started.isoformat()) == said
        assert sum(block.n_samples for block in recording.blocks(8000)) > 0
    # The file is believed more than its name.
    named = path.rename(path.with_name("20200101_000000.wav"))
    with Recording(named) as recording:
        assert recording.started is not None
        assert recording.started.isoformat() == (said or "2020-01-01T00:00:00")


def test_chunks_lie_behind_more_than_four_gigabytes(tmp_path):
    path = tmp_path / "long.wav"
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 2**33, 2**32 + 10, 0, 0))
    with path.open("wb") as file:
        file.write(b"RF64\xff\xff\xff\xffWAVE" + ds64 + b"data\xff\xff\xff\xff")
        file.seek(2**32 + 10, 1)  # a hole: takes no room
        file.write(bext("2022-03-04", "05:06:07"))
    assert recorded_at(path) == datetime(2022, 3, 4, 5, 6, 7)


@given(st.binary(max_size=300), st.text(max_size=80))
def test_rubbish_tells_no_time_and_raises_nothing(tmp_path_factory, junk, comment):
    path = tmp_path_factory.getbasetemp() / "rubbish.wav"
    path.write_bytes(b"RIFF\0\0\0\0WAVE" + junk)
    assert recorded_at(path, f"Recorded at {comment}") is None
    path.write_bytes(b"RIFF\0\0\0\0WAVE" + chunk(b"guan", b"Timestamp: " + junk))
    recorded_at(path)
    recorded_at(path.with_name("there is none.wav"))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_events_of_recordings_say_at_what_time(streamclf, write_wav, tone_model, n_jobs):
    sound = np.concatenate([toys.silence(4), toys.tone(440, 4), toys.silence(2)])
    dated = write_wav(sound, "SITE_20240601_235957.wav")
    plain = write_wav(sound, "plain.wav")
    run = ("file", dated, plain, "--model", tone_model, "--jobs", n_jobs)
    found = [json.loads(line) for line in streamclf(*run, "--format", "jsonl").out.splitlines()]
    first, second = (event for event in found if event["label"] == "low")
    began = datetime(2024, 6, 1, 23, 59, 57)
    assert first["onset"] > 3
    wanted = (began + timedelta(seconds=first["onset"])).isoformat(timespec="milliseconds")
    assert first["time"] == wanted
    assert wanted.startswith("2024-06-02T00:00:0")
    assert "time" not in second
    rows = streamclf(*run, "--format", "csv").out.splitlines()
    first, second = (row for row in rows if ",low," in row)
    assert first.endswith(wanted)
    assert second.endswith(",")
    text = streamclf(*run, "--format", "text").out
    assert "SITE_20240601_235957.wav, from 2024-06-01 23:59:57\n" in text
    assert "plain.wav\n" in text
