import os
from pathlib import Path

import pytest

from streamclf.sources.paths import find_recordings


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    for name in [
        "b.wav", "a.FLAC", "notes.txt", "._b.wav", "deep/er/c.mp3", "deep/d.webm", "none/readme.md",
        "odd[1].wav", "noending",
    ]:  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "folder.wav").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*names) -> list[str]:
    paths, errors = find_recordings([str(name) for name in names])
    assert errors == []
    return [path.as_posix() for path in paths]


def failed(*names) -> list[str]:
    _, errors = find_recordings([str(name) for name in names])
    return [str(error) for error in errors]


def test_a_folder_gives_the_audio_below_it_in_order(tree):
    assert found("deep") == ["deep/d.webm", "deep/er/c.mp3"]
    assert found(".") == ["a.FLAC", "b.wav", "deep/d.webm", "deep/er/c.mp3", "odd[1].wav"]


def test_a_file_named_itself_may_have_any_ending(tree):
    assert found("noending", "notes.txt") == ["noending", "notes.txt"]


def test_names_keep_their_order_and_come_once(tree):
    assert found("b.wav", "a.FLAC", "./b.wav", "*.wav") == ["b.wav", "a.FLAC", "odd[1].wav"]


def test_patterns_give_audio_alone(tree):
    assert found("[ab].*") == ["a.FLAC", "b.wav"]
    assert found("**/*") == ["a.FLAC", "b.wav", "deep/d.webm", "deep/er/c.mp3", "odd[1].wav"]
    assert found("de*") == ["deep/d.webm", "deep/er/c.mp3"]


def test_a_name_that_looks_like_a_pattern_is_a_name_first(tree):
    assert found("odd[1].wav") == ["odd[1].wav"]


def test_a_missing_file_is_left_for_opening_to_tell(tree):
    assert found("missing.wav") == ["missing.wav"]


def test_a_folder_without_audio_is_said_and_the_rest_goes_on(tree):
    paths, errors = find_recordings(["none", "b.wav"])
    assert [p.name for p in paths] == ["b.wav"]
    assert [str(e) for e in errors] == [
        "none: the folder holds no audio files "
        "(looked for .wav, .flac, .ogg, .mp3, .m4a, .webm, ...)"
    ]


def test_a_pattern_without_audio_is_said(tree):
    looked_for = "(looked for .wav, .flac, .ogg, .mp3, .m4a, .webm, ...)"
    assert failed("*.txt", "x*.wav") == [
        f"*.txt: no audio file matches this pattern {looked_for}",
        f"x*.wav: no audio file matches this pattern {looked_for}",
    ]


@pytest.mark.skipif(os.name == "nt", reason="Windows has other limits")
def test_a_name_that_is_too_long_is_one_line(tree):
    (message,) = failed("x" * 300)
    assert message == "x" * 300 + ": cannot be opened: file name too long"
