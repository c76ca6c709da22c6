"""Sounds out of the files that games keep theirs in."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from train.datasets.archives import ogg_streams, open_archives

pytestmark = pytest.mark.train


def make_ogg(hz: float) -> bytes:
    target = io.BytesIO()
    tone = np.sin(2 * np.pi * hz * np.arange(32000) / 16000)
    soundfile.write(target, 0.3 * tone, 16000, format="OGG", subtype="VORBIS")
    return target.getvalue()


def test_whole_streams_are_cut_out_of_any_file() -> None:
    first, second = make_ogg(300.0), make_ogg(900.0)
    content = b"qres\x00OggS rubbish" + first + b"\x00" * 13 + second + second[:1000]
    assert ogg_streams(content) == [first, second]


def test_streams_that_touch_each_other_stay_two() -> None:
    first, second = make_ogg(300.0), make_ogg(900.0)
    assert ogg_streams(first + second) == [first, second]


def test_sounds_in_archives_lie_beside_them_and_nothing_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.pk3", "w") as archive:
        archive.writestr("sound/dog.ogg", make_ogg(300.0))
        archive.writestr("maps/one.bsp", b"no sound")
        archive.writestr("../outside.ogg", make_ogg(300.0))
    (tmp_path / "farm.rcc").write_bytes(b"qres" + make_ogg(500.0))
    (tmp_path / "broken.zip").write_bytes(b"PK no zip")
    open_archives(tmp_path)
    there = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert there == [
        "broken.zip", "data.pk3", "data/sound/dog.ogg", "farm.rcc", "farm/farm-n0000.ogg",
    ]  # fmt: skip
    assert not (tmp_path.parent / "outside.ogg").exists()
