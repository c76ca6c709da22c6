import sys

import pytest
import toys

from streamclf.core.errors import RecordingError, UsageError
from streamclf.sources.factory import check_source, open_source
from streamclf.sources.options import SourceOptions
from streamclf.sources.simulated.simulated_microphone import SimulatedMicrophone
from streamclf.sources.stream.standard_input import StandardInput
from streamclf.sources.stream.url_stream import UrlStream


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "usb", "source": "-"}, "--device goes with a microphone, the source here is -"),
        ({"reconnect": False, "source": "-"}, "--no-reconnect goes with a microphone or a URL"),
        ({"raw": "s16"}, "--raw goes with --source -, the source here is the microphone"),
        ({"raw": "s16", "source": "sim:x"}, "--raw goes with --source -, the source here is sim:x"),
        ({"speed": 0.0}, "--speed goes with --source sim:FILE"),
        ({"speed": 2.0, "source": "http://x/y"}, "--speed goes with --source sim:FILE"),
        ({"loop": True, "source": "-"}, "--loop goes with --source sim:FILE"),
    ],
)
def test_options_of_another_source_are_refused(options, message):
    with pytest.raises(UsageError) as caught:
        SourceOptions(**options)
    assert str(caught.value).startswith(message)


def test_a_dash_is_standard_input(monkeypatch, tmp_path):
    path = tmp_path / "samples"
    path.write_bytes(b"\x00\x40\x00\xc0")
    with path.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        source = open_source(SourceOptions("-", raw="s16le:8000:2"))
        assert isinstance(source, StandardInput)
        (block,) = source.blocks(16_000)
    assert block.waveform.tolist() == [[0.5], [-0.5]]
    assert block.sample_rate == 8000


def test_raw_is_checked_when_opened():
    with pytest.raises(UsageError, match="--raw mp3: must be FORMAT:RATE:CHANNELS"):
        open_source(SourceOptions("-", raw="mp3"))


def test_sim_is_a_file_at_real_pace_unless_told(write_wav):
    path = write_wav(toys.silence(1))
    source = open_source(SourceOptions(f"sim:{path}", speed=0, loop=True))
    assert isinstance(source, SimulatedMicrophone)
    assert source.duration_s is None
    source.close()
    with pytest.raises(RecordingError, match=r"none\.wav: cannot be opened"):
        open_source(SourceOptions("sim:none.wav"))


@pytest.mark.parametrize("url", ["rtsp://camera/1", "http://radio.example/live", "udp://@:5004"])
def test_an_address_is_a_stream(url):
    source = open_source(SourceOptions(url))
    assert isinstance(source, UrlStream)
    assert source.name == url


def test_an_address_that_is_none_is_refused():
    with pytest.raises(UsageError, match=r"--source http://\[::1: is no URL: Invalid IPv6 URL"):
        open_source(SourceOptions("http://[::1"))


def test_a_file_as_source_shows_both_ways_out(write_wav):
    path = write_wav(toys.silence(1))
    with pytest.raises(UsageError) as caught:
        open_source(SourceOptions(str(path)))
    assert str(caught.value) == (
        f"--source {path}: is a file: streamclf file {path} analyses it, "
        f"--source sim:{path} plays it as a microphone"
    )


def test_a_folder_as_source_is_not_said_to_play_as_a_microphone(tmp_path):
    for check in (open_source, check_source):
        with pytest.raises(UsageError) as caught:
            check(SourceOptions(str(tmp_path)))
        assert str(caught.value) == (
            f"--source {tmp_path}: is a folder: streamclf file {tmp_path} analyses the recordings "
            "in it"
        )


@pytest.mark.parametrize("name", ["http://me:secret@radio/1", "sim:a.wav"])
def test_a_device_that_is_a_source_is_refused(name):
    shown = name.replace("secret", "***")
    for check in (open_source, check_source):
        with pytest.raises(UsageError) as caught:
            check(SourceOptions(device=name))
        assert str(caught.value) == (
            f"--device {shown}: is no microphone: a URL and sim:FILE are chosen by --source, and "
            "by url in [[sources]]"
        )


@pytest.mark.parametrize("name", ["mic", "x" * 300, "nowhere.wav"])
def test_anything_else_is_refused(name):
    with pytest.raises(UsageError) as caught:
        open_source(SourceOptions(name))
    assert str(caught.value) == (
        f"--source {name}: must be - (standard input), sim:FILE or a URL such as rtsp://...; "
        "a microphone is chosen by --device"
    )


def test_no_source_is_a_microphone(monkeypatch):
    made = []

    def microphone(device, **options):
        made.append({"device": device, **options})
        return "the microphone"

    monkeypatch.setattr("streamclf.sources.microphone.microphone.Microphone", microphone)
    assert open_source(SourceOptions(device="2", reconnect=False)) == "the microphone"
    assert made[0]["device"] == "2"
    assert made[0]["reconnect"] is False
