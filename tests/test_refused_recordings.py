"""Files that are no recording: one line that says why, and the way out."""

import os
from pathlib import Path

import numpy as np
import pytest
from test_recording import RATE, SOUND

from streamclf.core.errors import RecordingError
from streamclf.sources.recording.recording import Recording


def fail(path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        list(Recording(path).blocks(RATE))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_file_without_bytes_is_empty(tmp_path):
    path = tmp_path / "empty.wav"
    path.touch()
    assert fail(path) == "the file is empty (0 bytes): was it copied whole?"


@pytest.mark.parametrize("name", ["text.wav", "text.mp3", "text.m4a"])
def test_text_is_called_text(tmp_path, name):
    path = tmp_path / name
    path.write_text("a line of words\n" * 40)
    assert fail(path) == "holds text, not audio"


def test_noise_is_called_no_audio(tmp_path):
    path = tmp_path / "noise.m4a"
    path.write_bytes(np.random.default_rng(1).integers(128, 255, 3000, dtype=np.uint8).tobytes())
    assert fail(path).startswith("is no audio that FFmpeg can open: ")


@pytest.mark.parametrize(
    ("ending", "subtype", "n_bytes"),
    [
        ("wav", "PCM_16", 20),
        ("wav", "PCM_16", 40),
        ("wav", "FLOAT", 60),
        ("flac", "PCM_16", 20),
        ("flac", "PCM_16", 60),
        ("ogg", "VORBIS", 60),
        ("aiff", "PCM_16", 40),
        ("mp3", "MPEG_LAYER_III", 200),
    ],
)
def test_header_cut_short_is_said(write_wav, ending, subtype, n_bytes):
    path = write_wav(SOUND, f"x.{ending}", subtype=subtype)
    path.write_bytes(path.read_bytes()[:n_bytes])
    message = fail(path)
    assert message.startswith("the header is damaged or cut short")
    assert "does not exist" not in message


def test_headerless_samples_show_the_way_out(tmp_path):
    path = tmp_path / "x.raw"
    path.write_bytes(bytes(range(256)) * 20)
    assert fail(path) == (
        "headerless audio: streamclf listen --source - --raw FORMAT:RATE:CHANNELS < FILE hears it"
    )


def test_a_file_of_zeros_and_a_coding_of_its_maker_are_no_damage(tmp_path):
    (tmp_path / "x.wav").write_bytes(bytes(5000))
    (tmp_path / "x.onnx").write_bytes(bytes(range(256)) * 20)
    assert fail(tmp_path / "x.onnx") == "is a model, not a recording: --model takes it"
    (tmp_path / "x.wac").write_bytes(b"WAac" + bytes(range(256)) * 20)
    assert fail(tmp_path / "x.wav") == (
        "begins with zeros where its header should be: its recorder did not finish it, or the card "
        "lost it"
    )
    assert fail(tmp_path / "x.wac") == (
        "is in a coding that only the program of Wildlife Acoustics reads: convert it to WAV with "
        "that"
    )


def test_a_folder_is_no_recording(tmp_path):
    assert fail(tmp_path) == "is a folder, not a recording: name a file in it"


def test_a_missing_path_is_said(tmp_path):
    assert fail(tmp_path / "no.wav") == "cannot be opened: no such file or directory"


def test_no_permission_is_said(write_wav, monkeypatch):
    path = write_wav(SOUND[:800])
    path.chmod(0)
    if os.access(path, os.R_OK):  # as root

        def refuse(self, *arguments, **keywords):
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "open", refuse)
    assert fail(path) == "cannot be opened: permission denied"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("radio.m3u", "#EXTM3U\n#EXTINF:-1,Österreich 1\nhttp://x.org/live.mp3\n"),
        ("radio.pls", "[playlist]\nFile1=http://x.org/live.mp3\nNumberOfEntries=1\n"),
        ("radio.m3u8", "\ufeff#EXTM3U\nb.wav\n"),
        ("radio.xspf", '<?xml version="1.0"?>\n<playlist xmlns="http://xspf.org/ns/0/">\n'),
        ("plain.m3u", "sounds/a.wav\nsounds/b.wav\n"),
    ],
)
def test_a_playlist_is_told_and_what_to_do(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert fail(path) == (
        "is a playlist, not audio: give the recordings that it names; streamclf listen "
        "--source URL listens to a stream that it names"
    )


def test_a_rate_of_no_sound_is_told(write_wav):
    """A second of a damaged header would be hours, and memory without end."""
    path = write_wav(SOUND[:800])
    data = path.read_bytes()
    path.write_bytes(data[:24] + (99).to_bytes(4, "little") + data[28:])
    assert fail(path) == (
        "states a sample rate of 99 Hz, at which there is no sound (100 Hz at least): its header "
        "is damaged"
    )
