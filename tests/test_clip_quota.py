"""What a folder of clips may hold: which go, which never do, and who is told."""

import os
from pathlib import Path

import numpy as np
import pytest
import toys

from streamclf.core.errors import SinkError
from streamclf.core.records import Block, SoundEvent, StreamStarted
from streamclf.sinks.clips.clip_file import Clip, encode_clip, write_clip
from streamclf.sinks.clips.clips import BackgroundClips
from streamclf.sinks.clips.quota import ClipQuota

RATE = 1000
NOISE = np.random.default_rng(1).uniform(-1, 1, 2000).astype("f")


def write_one(folder: Path, label: str, number: int, *, title: str | None = None) -> int:
    """A clip of some 4 kB, the older the lower its number. Returns its size."""
    path = folder / label / "Mic 2026-11-22" / f"20261122_1200{number:02d}_000_93.flac"
    encoded = encode_clip(Clip(path, NOISE, RATE, title or label, ""))
    write_clip(path, encoded)
    os.utime(path, (1e9 + number, 1e9 + number))
    return len(encoded)


def numbers(folder: Path, label: str) -> list[int]:
    return sorted(int(path.name[13:15]) for path in folder.glob(f"{label}/*/*.flac"))


def test_what_is_rare_stays_and_the_oldest_of_the_rest_go(tmp_path):
    for number in range(10):
        size = write_one(tmp_path, "engine", number)
    write_one(tmp_path, "owl", 0)
    quota = ClipQuota(tmp_path, 12 * size)
    assert quota.reserve(size) == 0  # twelve, with the one that comes
    write_one(tmp_path, "engine", 10)
    # A twentieth of the limit is made free, so that there is room for another one or none.
    assert quota.reserve(size) == 2
    assert numbers(tmp_path, "owl") == [0]
    assert numbers(tmp_path, "engine") == list(range(2, 11))


def test_clips_of_earlier_runs_count(tmp_path):
    for number in range(5):
        size = write_one(tmp_path, "dog", number)
    assert ClipQuota(tmp_path, 3 * size).reserve(size) == 4
    assert numbers(tmp_path, "dog") == [4]


@pytest.mark.parametrize(
    "change",
    [
        lambda path, folder: path.rename(folder / "dog" / "Mic 2026-11-22" / path.name),
        lambda path, folder: path.rename(path.with_name(f"my {path.name}")),
        lambda path, folder: path.rename(folder / path.name),
        lambda path, folder: path.write_bytes(b"no FLAC"),
    ],
    ids=["moved to another label", "renamed", "moved up", "not ours"],
)
def test_what_somebody_touched_stays(tmp_path, change):
    size = write_one(tmp_path, "dog", 9)
    for number in range(4):
        write_one(tmp_path, "engine", number)
    for path in sorted(tmp_path.glob("engine/*/*.flac")):
        change(path, tmp_path)
    touched = {path for path in tmp_path.rglob("*.flac") if "120009" not in path.name}
    assert len(touched) == 4
    ClipQuota(tmp_path, 2 * size).reserve(size)
    assert touched <= set(tmp_path.rglob("*.flac"))


def test_a_folder_left_empty_goes_too(tmp_path):
    size = write_one(tmp_path, "dog", 1)
    assert ClipQuota(tmp_path, size).reserve(size) == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["dog"]


def test_a_clip_that_cannot_be_deleted_is_said(tmp_path, monkeypatch):
    size = write_one(tmp_path, "dog", 1)

    def refuse(path, **_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(SinkError, match=r"deleted to make room: permission denied$"):
        ClipQuota(tmp_path, size).reserve(size)


def test_a_long_run_keeps_to_its_size_and_says_so_once(tmp_path):
    told, limit = [], 30_000
    sink = BackgroundClips(tmp_path, told.append, ClipQuota(tmp_path, limit))
    sink.begin(StreamStarted("a.wav", RATE, ["dog", "owl"], "single-label"))
    for second in range(0, 100, 2):
        sink.hear(Block(2000 * second, np.tile(NOISE, 2)[None], RATE))
        label = "owl" if second == 4 else "dog"
        sink.write(SoundEvent(label, 2000 * second + 500, 2000 * second + 1500, 0.9))
    sink.finish()
    sink._thread.join(60)
    sink.close()
    assert sink.n_lost == 0
    assert told == [
        f"{tmp_path}: the clips reach --clips-limit: from now on the oldest of the label that "
        "takes most are deleted"
    ]
    held = list(tmp_path.rglob("*.flac"))
    assert 0.7 * limit < sum(path.stat().st_size for path in held) <= limit
    assert [path.parts[-3] for path in held].count("owl") == 1
    assert max(path.name for path in held).startswith("000196.500")


def test_listen_takes_a_limit(streamclf, write_wav, tone_model, tmp_path):
    path = write_wav(np.concatenate([toys.silence(3), toys.tone(440, 4)]), "a.wav")
    clips = tmp_path / "clips"
    old = clips / "tone" / "x" / "000001.000_90.flac"
    noise = np.random.default_rng(1).uniform(-1, 1, 16_000 * 40).astype("f")
    write_clip(old, encode_clip(Clip(old, noise, 16_000, "tone", "")))
    assert old.stat().st_size > 1_000_000
    run = ("listen", "--source", f"sim:{path}", "--speed", 0, "--no-ui", "--model", tone_model)
    result = streamclf(*run, "--clips", clips, "--clips-limit", "1MB")
    assert result.code == 0
    assert "the clips reach --clips-limit" in result.err
    held = list(clips.rglob("*.flac"))
    assert held
    assert old not in held


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--clips", "x", "--clips-limit", "much"), "--clips-limit much: must be a size of 1MB"),
        (("--clips", "x", "--clips-limit", "900kB"), "--clips-limit 900kB: must be a size of"),
        (("--clips-limit", "1GB"), "--clips-limit goes with --clips"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(streamclf, arguments, message):
    result = streamclf("listen", "--source", "sim:none.wav", "--no-ui", *arguments)
    assert result.code == 2
    assert message in result.err
