"""Clips in a browser: their audio in parts, their pictures, and what is said of those gone."""

import json
import os
import struct
import zlib
from datetime import UTC, datetime

import numpy as np
import pytest
import soundfile
import toys
from pages import Browser, make_context
from stores import Heard, Run, make_store

from streamclf.pipeline.spectrogram_png import MAX_SAMPLES, draw_clip, encode_png
from streamclf.store.database import connect
from streamclf.web.server import WebServer

BEGUN = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
LENGTH_S = 2.0


@pytest.fixture
def folder(tmp_path):
    """A store with five events, the first of which have a clip."""
    events = [Heard("beep", 10.0 * i) for i in range(9)]
    make_store(tmp_path / "store.db", [Run("Mic", BEGUN, 100.0, events)])
    clips = tmp_path / "clips" / "beep"
    clips.mkdir(parents=True)
    soundfile.write(clips / "one.flac", toys.tone(1000, LENGTH_S), toys.RATE)
    (tmp_path / "outside.flac").write_bytes((clips / "one.flac").read_bytes())
    (clips / "link.flac").symlink_to(tmp_path / "outside.flac")
    (clips / "text.flac").write_text("no audio")
    (clips / "broken.flac").write_bytes(b"fLaC and nothing more")
    (clips / "notes.txt").write_bytes(b"fLaC")
    add_clip(tmp_path, 1, "beep/one.flac")
    return tmp_path


def add_clip(folder, event, path, gone=None, root=None):
    connection = connect(folder / "store.db")
    try:
        connection.execute(
            "INSERT INTO clips (id, event_id, folder, path, bytes, written_us, gone_us, gone_why) "
            "VALUES (?, ?, ?, ?, 1, 1, ?, ?)",
            (event, event, str(root or folder / "clips"), path, 1 if gone else None, gone),
        )
    finally:
        connection.close()


@pytest.fixture
def browser(folder):
    with WebServer(make_context(folder)) as server:
        yield Browser(server)


def test_a_clip_is_played_whole_and_in_parts(browser, folder):
    known = (folder / "clips/beep/one.flac").read_bytes()
    whole = browser.ask("/media/clips/1")
    assert (whole.status, whole.body) == (200, known)
    assert whole.headers["Content-Type"] == "audio/flac"
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert whole.headers["Content-Disposition"] == 'inline; filename="one.flac"'
    part = browser.ask("/media/clips/1", Range="bytes=100-199")
    assert (part.status, part.body) == (206, known[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(known)}"
    assert part.headers["Content-Type"] == "audio/flac"
    assert browser.ask("/media/clips/1", Range="bytes=-50").body == known[-50:]
    assert browser.ask("/media/clips/1", Range=f"bytes={len(known)}-").status == 416
    again = browser.ask("/media/clips/1", If_None_Match=whole.headers["ETag"])
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("header", ["If-Modified-Since", "If-Unmodified-Since", "If-Range"])
def test_a_date_that_is_none_is_answered(browser, header):
    date = {header: "Thu, 99 Nov 99999999999999 99:99:99 GMT"}
    assert browser.ask("/media/clips/1", Range="bytes=0-9", **date).status == 400


def test_a_picture_shows_where_the_sound_is(browser):
    answer = browser.ask("/media/clips/1/picture")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
    levels = decode(answer.body)
    assert levels.shape[0] == 64
    assert abs(levels.shape[1] - LENGTH_S / 0.008) <= 2
    loudest = 63 - levels[:, levels.shape[1] // 2].argmax()  # from the lowest band
    assert 20 < loudest < 40  # 1 kHz of 8 kHz in mel
    again = browser.ask("/media/clips/1/picture", If_None_Match=answer.headers["ETag"])
    assert (again.status, again.body) == (304, b"")


def test_a_picture_has_the_colours_of_the_page(browser):
    dark, light = (browser.ask(f"/media/clips/1/picture{end}") for end in ("", "?light=1"))
    assert dark.body != light.body
    assert np.array_equal(decode(dark.body), decode(light.body))
    assert dark.headers["ETag"] != light.headers["ETag"]


def decode(png):
    """Levels of a picture that `encode_png` made."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length)[0] == zlib.crc32(kind + data)
        chunks[kind] = data
        at += 12 + length
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    assert len(chunks[b"PLTE"]) == 768
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:]


def test_a_picture_keeps_its_levels():
    levels = np.random.default_rng(1).integers(0, 256, (64, 33)).astype(np.uint8)
    assert np.array_equal(decode(encode_png(levels)), levels)


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("limit", "Its sound made room for newer ones."),
        ("age", "Its sound was kept for as long as you set, and is gone."),
        ("deleted", "Its sound was deleted."),
    ],
)
def test_a_clip_that_went_says_why(browser, folder, why, said):
    add_clip(folder, 2, "beep/one.flac", gone=why)
    for path in ("/media/clips/2", "/media/clips/2/picture"):
        answer = browser.ask(path, Accept="*/*")
        assert (answer.status, json.loads(answer.text)) == (404, {"error": said})
        assert said in browser.ask(path).text


def test_a_clip_that_was_moved_says_so(browser, folder):
    (folder / "clips/beep/one.flac").rename(folder / "elsewhere.flac")
    answer = browser.ask("/media/clips/1")
    assert answer.status == 404
    assert "The file of this clip was moved or deleted." in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "../outside.flac", "beep/../../outside.flac", "{folder}/outside.flac", "beep/link.flac",
        "beep/text.flac", "beep/notes.txt", "beep", "", "beep/one.flac\0",
    ],
)  # fmt: skip
def test_rows_of_a_strange_store_open_no_other_files(browser, folder, path):
    add_clip(folder, 3, path.format(folder=folder))
    assert browser.ask("/media/clips/3", Accept="*/*").status == 404
    assert browser.ask("/media/clips/3/picture", Accept="*/*").status == 404


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_in_place_of_a_clip_holds_nobody_up(browser, folder):
    os.mkfifo(folder / "clips/beep/pipe.flac")
    add_clip(folder, 3, "beep/pipe.flac")
    assert browser.ask("/media/clips/3").status == 404


def test_a_clip_of_any_rate_and_channels_is_drawn_in_little_memory(tmp_path):
    """A foreign file may be small and claim 120 s of 655 kHz in 8 channels, 2.5 GB of samples."""
    path, n_samples = tmp_path / "huge.flac", MAX_SAMPLES // 8 + 10
    with soundfile.SoundFile(path, "w", 192_000, 8, "PCM_16", format="FLAC") as file:
        file.write(np.zeros((n_samples, 8), np.int16))
    asked, read = [], soundfile.SoundFile.read

    def count(self, frames, **options):
        asked.append(frames * self.channels)
        return read(self, 1000, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(soundfile.SoundFile, "read", count)
        assert draw_clip(path).startswith(b"\x89PNG")
    assert asked == [MAX_SAMPLES]


def test_a_broken_clip_has_no_picture(browser, folder):
    add_clip(folder, 4, "beep/broken.flac")
    answer = browser.ask("/media/clips/4/picture", Accept="*/*")
    assert (answer.status, json.loads(answer.text)) == (
        404,
        {"error": "This clip cannot be drawn."},
    )


@pytest.mark.parametrize(
    "place",
    [
        "0",
        "77",
        "-1",
        "one",
        "1.5",
        "9" * 19,
        "9" * 40,
        "1/../../x",
        "%2e%2e/outside.flac",
        "1%00",
        "%D9%A1",
        "1%0a",
        "..%5c1",
        "%2531",
    ],
)
def test_clips_that_are_none_are_not_there(browser, place):
    assert browser.ask(f"/media/clips/{place}", Accept="*/*").status == 404
    assert browser.ask(f"/media/clips/{place}/picture", Accept="*/*").status == 404
