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

from streamclf.sources.recording.recording import Recording
from streamclf.sources.recording.start_time import recorded_at


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def bext(date: str, time: str) -> bytes:
    return chunk(b"bext", b"a scene".ljust(320, b"\0") + (date + time).encode() + b"\0" * 300)


def wamd(*fields: tuple[int, bytes]) -> bytes:
    body = b"".join(struct.pack("<HI", number, len(data)) + data for number, data in fields)
    return chunk(b"wamd", body)


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
        ("Session 2024.06.01_04.30.00", "2024-06-01T04:30:00"),
        ("20240229_120000", "2024-02-29T12:00:00"),
        ("S4A01234_20230101_235959+1000", "2023-01-01T23:59:59+10:00"),
        ("SITE_20110601$043000", "2011-06-01T04:30:00"),  # Song Meter SM2, triggered
        ("SMM07036_20210801_220300", "2021-08-01T22:03:00"),  # Song Meter Mini
        ("SWIFT02_20200315_050000", "2020-03-15T05:00:00"),
        ("20190621T043000.25+1000", "2019-06-21T04:30:00.250000+10:00"),
        (
            "S20240815T094310.617350+1000_E20240815T094410.611000+1000_-26.8+152.5",
            "2024-08-15T09:43:10.617350+10:00",
        ),  # Frontier Labs
        ("20240601_043000.250+1000", "2024-06-01T04:30:00.250000+10:00"),
        ("20190621T043000+9900", "2019-06-21T04:30:00"),  # no such offset
        ("0a1824085e3f_20230601T043000123Z", "2023-06-01T04:30:00.123000+00:00"),  # RFCx
        ("Site 4-2014-03-21_10-30", "2014-03-21T10:30:00"),  # Arbimon
        ("turdus_merula_92p_20240601T043000Z", "2024-06-01T04:30:00+00:00"),  # BirdNET-Go
        ("2022-07-08-birdnet-14:26:11", "2022-07-08T14:26:11"),  # BirdNET-Pi
        ("2022-07-08-birdnet-RTSP_1-14:26:11", "2022-07-08T14:26:11"),
        ("Parus_major-85-2022-07-08-birdnet-14_26_11", "2022-07-08T14:26:11"),
        ("5F0E1A2C", "2020-07-14T20:48:44+00:00"),  # AudioMoth, before 2019
        ("671073921.180125132359", "2018-01-25T13:23:59"),  # SoundTrap
        ("RBW1297_20240601_043000_123", "2024-06-01T04:30:00"),  # icListen
        ("garden_2024_06_01_04_30_00__2024_06_01_04_31_00", "2024-06-01T04:30:00"),  # Frigate
        ("front_door-1717216200.123456-x7k2p9", "2024-06-01T04:30:00.123456+00:00"),
        ("Cam_01_20240601043000", "2024-06-01T04:30:00"),  # cameras
        ("Screen Recording 2024-06-01 at 16.30.00", "2024-06-01T16:30:00"),
        ("Screen Recording 2024-06-01 at 4.30.00\u202fPM", "2024-06-01T16:30:00"),
        ("2024-06-01 12.30.00 AM", "2024-06-01T00:30:00"),
        ("20240601_043000AMBIENT", "2024-06-01T04:30:00"),
        ("2024-06-01 13.30.00 PM", None),
        ("2024-06-01 04.30.00.2", "2024-06-01T04:30:00"),  # the second part
        ("58123456", None),  # a number
        ("5f0e1a2c", None),  # a hash
        ("5F0E1A2C_0", None),
        ("0A0E1A2C", None),
        ("FFFFFFFF", None),
        ("12345.123456789012", None),
        ("20240631043000", None),
        ("98765432101234", None),
        ("202406010430001", None),
        ("1717216200", None),
        ("240601_0001", None),  # Tascam's and Olympus's number, Sony's minute
        ("010624_043000", None),  # 2001 or 2024
        ("ZOOM0001", None),
        ("DS_50012", None),
        ("2024-06-01_04", None),
        ("2024-06-01_10-30-part2", None),
        ("2024-06-01-1-10-20", None),
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
    ("name", "said"),
    [
        ("2024-06-01/04/garden/30.05.mp4", "2024-06-01T04:30:05+00:00"),  # Frigate
        ("Camera1/2024-06-01/04-30-05.mp4", "2024-06-01T04:30:05"),  # motionEye
        ("2024-06-01/04/30.05.mp4", None),
        ("2024-06-01/x.mp4", None),
        ("tracks/04-30-05.mp4", None),
        ("2024-06-01/25/garden/30.05.mp4", None),
    ],
)
def test_folders_tell_when_a_recording_began(tmp_path, monkeypatch, name, said):
    time = recorded_at(tmp_path / name)
    assert (time and time.isoformat()) == said
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    monkeypatch.chdir(path.parent)
    assert recorded_at(Path(path.name)) == time


@given(st.from_regex(r"[A-Za-z_ -]{0,6}[0-9]{1,13}(\.[0-9]{1,9})?[a-z_-]{0,3}", fullmatch=True))
def test_a_plain_number_is_no_time(name):
    assert recorded_at(Path("/nowhere") / f"{name}.wav") is None


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
        ([wamd((0, b"\1\0"), (1, b"SM4"), (5, b"2014-04-02 22:59:14-05:00"))],
         "2014-04-02T22:59:14-05:00"),
        ([wamd((5, b"2014-04-02 22:59:14.000"))], "2014-04-02T22:59:14"),
        ([wamd((5, b"2014-04-02 22:59:14-5:00"))], "2014-04-02T22:59:14-05:00"),
        ([wamd((5, b"2014-04-02 22:59:14.250 +5:30"))], "2014-04-02T22:59:14.250000+05:30"),
        ([wamd((5, b"2014-04-02 22:59:14UTC+1"))], "2014-04-02T22:59:14+01:00"),
        ([wamd((1, b"SM4"), (5, b"?"))], None),
        ([chunk(b"wamd", struct.pack("<HIH", 1, 2**31, 5))], None),
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
    assert first.endswith(f"{wanted},")
    assert second.endswith(",")
    text = streamclf(*run, "--format", "text").out
    assert "SITE_20240601_235957.wav, from 2024-06-01 23:59:57\n" in text
    assert "plain.wav\n" in text
