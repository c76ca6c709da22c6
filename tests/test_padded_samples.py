"""Samples with fewer bits than their bytes hold: at the right level, whatever the header is."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from readings import read
from test_piped import feed, hear  # noqa: F401
from test_recording import samples

from streamclf.core.records import Gap, Notice
from streamclf.sources.recording.recording import Recording

RATE = 48_000
N = 30_000
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(N) / RATE)
SOUND = TONE + np.random.default_rng(0).normal(0, 0.01, N)
GUID = b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"


def put(values: np.ndarray, n_bytes: int, order: str = "<") -> bytes:
    octets = np.stack([values >> 8 * i & 255 for i in range(n_bytes)], axis=-1).astype(np.uint8)
    return (octets if order == "<" else octets[:, ::-1]).tobytes()


def made(n_bits: int, n_bytes: int, end: str, sound: np.ndarray = SOUND) -> np.ndarray:
    """Integers of so many bits, at one end of their bytes."""
    values = np.floor(sound * 2 ** (n_bits - 1)).astype(np.int64)
    if end == "low without sign":
        return values & (1 << n_bits) - 1
    return values << (8 * n_bytes - n_bits if end == "high" else 0)


def fmt(n_bits: int, n_bytes: int, order: str, extended: int = 0, channels: int = 1) -> bytes:
    """Content of a ``fmt`` chunk; ``extended`` states the bits of WAVE_FORMAT_EXTENSIBLE."""
    tag, align = 0xFFFE if extended else 1, n_bytes * channels
    said = extended or n_bits
    body = struct.pack(f"{order}HHIIHH", tag, channels, RATE, RATE * align, align, said)
    return body + (struct.pack(f"{order}HHIH", 22, n_bits, 4, 1) + GUID if extended else b"")


def chunk(name: bytes, body: bytes, order: str) -> bytes:
    return name + struct.pack(f"{order}I", len(body)) + body + bytes(len(body) % 2)


def wav(n_bits: int, n_bytes: int, end: str, order: str = "<", extended: int = 0) -> bytes:
    head = chunk(b"fmt ", fmt(n_bits, n_bytes, order, extended), order)
    rest = b"WAVE" + head + chunk(b"data", put(made(n_bits, n_bytes, end), n_bytes, order), order)
    return (b"RIFX" if order == ">" else b"RIFF") + struct.pack(f"{order}I", len(rest)) + rest


def extensible(n_bits: int, n_bytes: int, end: str) -> bytes:
    return wav(n_bits, n_bytes, end, extended=8 * n_bytes)


def extensible_of_its_bits(n_bits: int, n_bytes: int, end: str) -> bytes:
    return wav(n_bits, n_bytes, end, extended=n_bits)


def rifx(n_bits: int, n_bytes: int, end: str) -> bytes:
    return wav(n_bits, n_bytes, end, ">")


def long(mark: bytes, n_bits: int, n_bytes: int, end: str) -> bytes:
    body = put(made(n_bits, n_bytes, end), n_bytes)
    head = chunk(b"fmt ", fmt(n_bits, n_bytes, "<"), "<")
    ds64 = struct.pack("<QQQI", 4 + 36 + len(head) + 8 + len(body), len(body), N, 0)
    rest = b"WAVE" + chunk(b"ds64", ds64, "<") + head + b"data\xff\xff\xff\xff" + body
    return mark + b"\xff\xff\xff\xff" + rest


def rf64(n_bits: int, n_bytes: int, end: str) -> bytes:
    return long(b"RF64", n_bits, n_bytes, end)


def bw64(n_bits: int, n_bytes: int, end: str) -> bytes:
    return long(b"BW64", n_bits, n_bytes, end)


def w64(n_bits: int, n_bytes: int, end: str) -> bytes:
    def named(name: bytes) -> bytes:
        return name + bytes.fromhex("f3acd3118cd100c04f8edb8a")

    parts = [
        (b"fmt ", fmt(n_bits, n_bytes, "<")),
        (b"data", put(made(n_bits, n_bytes, end), n_bytes)),
    ]
    rest = b"".join(
        named(name) + struct.pack("<q", 24 + len(body)) + body + bytes(-len(body) % 8)
        for name, body in parts
    )
    head = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
    return head + struct.pack("<q", 40 + len(rest)) + named(b"wave") + rest


def caf(n_bits: int, n_bytes: int, end: str) -> bytes:
    body = put(made(n_bits, n_bytes, end), n_bytes, ">")
    desc = struct.pack(">d4sIIIII", RATE, b"lpcm", 0, n_bytes, 1, 1, n_bits)
    head = b"caff\0\1\0\0desc" + struct.pack(">q", 32) + desc
    return head + b"data" + struct.pack(">qI", 4 + len(body), 0) + body


def aiff(n_bits: int, n_bytes: int, end: str, coding: bytes = b"") -> bytes:
    body = put(made(n_bits, n_bytes, end), n_bytes, ">")
    rate = struct.pack(">HQ", 16383 + 15, RATE << 48)
    comm = chunk(b"COMM", struct.pack(">HIH", 1, N, n_bits) + rate + coding, ">")
    rest = (b"AIFC" if coding else b"AIFF") + comm + chunk(b"SSND", bytes(8) + body, ">")
    return b"FORM" + struct.pack(">I", len(rest)) + rest


ENDS = ["high", "low"]
KINDS = [wav, extensible, extensible_of_its_bits, rifx, rf64, bw64, w64, caf, aiff]
CASES = [
    *((kind, *width, end) for kind in KINDS for width in [(24, 4), (12, 2)] for end in ENDS),
    *((kind, 20, 3, "low") for kind in KINDS),
    *((wav, *width, "low") for width in [(20, 4), (16, 3), (16, 4), (8, 2)]),
    (wav, 24, 4, "low without sign"),
]


@pytest.mark.parametrize(("kind", "n_bits", "n_bytes", "end"), CASES)
def test_padded_samples_have_their_level_at_either_end(tmp_path, kind, n_bits, n_bytes, end):
    path = tmp_path / "x.audio"
    path.write_bytes(kind(n_bits, n_bytes, end))
    items, error = read(path)
    assert error == ""
    expected = made(n_bits, n_bytes, "low") / 2 ** (n_bits - 1)
    np.testing.assert_array_equal(samples(items)[0], expected)
    louder = f"{6.0206 * (8 * n_bytes - n_bits):.0f} dB louder"
    remarks = [item.message for item in items if isinstance(item, Notice)]
    assert [louder in remark for remark in remarks] == ([] if end == "high" else [True])


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", [wav, extensible, rf64, w64, caf, aiff])
def test_padded_samples_of_a_pipe_are_those_of_the_file(tmp_path, feed, kind, end):  # noqa: F811
    data = kind(24, 4, end)
    if kind is caf:  # FFmpeg seeks in it
        data = data.replace(struct.pack(">q", 4 + 4 * N), struct.pack(">q", -1))
    heard, gaps, error = hear(feed(data))
    assert (gaps, error) == ([], "")
    np.testing.assert_array_equal(heard, made(24, 4, "low") / 2**23)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (rifx(16, 2, "high"), "a WAV with the highest byte first (RIFX)"),
        (aiff(24, 3, "high", b"sowt"), "an AIFF of 24 bits with the lowest byte first (sowt)"),
    ],
)
def test_what_ffmpeg_would_make_noise_of_is_refused_in_a_pipe(feed, data, what):  # noqa: F811
    _, _, error = hear(feed(data))
    assert error.endswith(f"is {what}, which cannot be read forward: give the file itself")


def test_padded_samples_behind_silence_are_found(tmp_path, feed):  # noqa: F811
    """Silence is the same at both ends; the first sound decides."""
    silence = bytes(4 * 300_000)
    data = wav(24, 4, "low")
    data = data[:40] + struct.pack("<I", 4 * N + len(silence)) + silence + data[44:]
    (tmp_path / "x.wav").write_bytes(data)
    expected = np.concatenate([np.zeros(300_000), made(24, 4, "low") / 2**23])
    np.testing.assert_array_equal(samples(read(tmp_path / "x.wav")[0])[0], expected)
    np.testing.assert_array_equal(hear(feed(data))[0], expected)


def test_samples_that_use_all_their_bits_are_not_moved(tmp_path):
    """Whatever the header says of the bits."""
    path = tmp_path / "x.wav"
    body = put(made(32, 4, "high"), 4)
    for extended in (0, 32):
        data = wav(24, 4, "high", extended=extended)
        path.write_bytes(data[: len(data) - len(body)] + body)
        items, error = read(path)
        assert error == ""
        np.testing.assert_allclose(samples(items)[0], SOUND, atol=2**-23)


def test_a_block_of_the_wrong_size_is_no_padding(tmp_path):
    """16 bits of mono with the block of stereo, as some programs write."""
    data = wav(16, 2, "high")
    path = tmp_path / "x.wav"
    path.write_bytes(data[:28] + struct.pack("<IH", 4 * RATE, 4) + data[34:])
    np.testing.assert_array_equal(samples(read(path)[0])[0], made(16, 2, "low") / 2**15)


@pytest.mark.parametrize(("n_bits", "extra"), [(24, b""), (32, b"\2\0\1\0")])
def test_floating_point_under_the_mark_of_integers(tmp_path, n_bits, extra):
    """Adobe Audition's "24.0 float" and "16.8 float"."""
    full = 2.0 ** (23 if n_bits == 24 else 15)
    body = (SOUND * full).astype("<f4").tobytes()
    head = chunk(b"fmt ", fmt(n_bits, 4, "<") + extra, "<")
    rest = b"WAVE" + head + chunk(b"data", body, "<")
    path = tmp_path / "x.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(rest)) + rest)
    items, error = read(path)
    assert error == ""
    np.testing.assert_array_equal(samples(items)[0], SOUND.astype(np.float32))
    assert "floating point under the mark of integers" in items[0].message


@pytest.mark.parametrize("end", ENDS)
def test_padded_samples_are_cut_and_read_from_any_place_as_others(tmp_path, end):
    path = tmp_path / "x.wav"
    data = wav(24, 4, end)
    path.write_bytes(data[:-20_001])
    items, error = read(path)
    assert "is cut short: the header promises 0.62 s, the file holds 0.52 s" in error
    whole = made(24, 4, "low") / 2**23
    *items, gap = items
    assert gap == Gap(N - 5001, 5001, RATE, "truncated")
    heard = samples(items)[0]
    np.testing.assert_array_equal(heard, whole[: N - 5001])
    path.write_bytes(data)
    with Recording(path) as recording:
        assert recording.extent() == (RATE, N)
        assert recording.skip(0.25)
        (block,) = [i for i in recording.blocks(RATE) if not isinstance(i, Notice)]
    assert block.position == RATE // 4
    np.testing.assert_array_equal(block.waveform[0], whole[RATE // 4 :])


def test_quiet_samples_that_fit_both_ends_are_read_as_the_standard_says(tmp_path):
    path: Path = tmp_path / "x.wav"
    values = np.floor(SOUND * 2**14).astype(np.int64) << 8
    data = wav(24, 4, "high")
    path.write_bytes(data[:44] + put(values, 4))
    items, _ = read(path)
    np.testing.assert_array_equal(samples(items)[0], values / 2**31)
    assert "fit both ends: read from the high end" in items[0].message
