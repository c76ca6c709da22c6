"""The plan of an archive: every recording is in it once, with its time, its items or its reason."""

import json
import os
import shutil
from datetime import UTC, datetime

import pytest
import toys

from streamclf.archive.local_place import LocalPlace
from streamclf.archive.manifest import make_manifest, read_manifest
from streamclf.archive.plan import make_plan, without_name
from streamclf.core.errors import PlaceError, RecordingError, StoreError
from streamclf.sources.recording.recording import Recording


@pytest.fixture
def archive(write_wav, tmp_path):
    """Two sites and two days; a long recording; what cannot be opened."""
    for minute in range(3):
        write_wav(toys.tone(440, 20), f"in/north/20260601_04{minute:02d}00.wav")
    write_wav(toys.tone(440, 20), "in/north/20260602_040000.wav")
    write_wav(toys.tone(440, 30), "in/south/20260601T040000+0200.flac")
    write_wav(toys.silence(150), "in/night.wav")
    write_wav(toys.tone(440, 20), "in/cut.wav")
    whole = (tmp_path / "in/cut.wav").read_bytes()
    (tmp_path / "in/cut.wav").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in/south/empty.wav").write_bytes(b"")
    (tmp_path / "in/south/words.mp3").write_text("no audio at all\n" * 40)
    (tmp_path / "in/notes.txt").write_text("left out")
    return tmp_path / "in"


def planned(archive, minutes=1.0):
    return make_plan(LocalPlace(archive), minutes)


def test_a_plan_holds_each_recording_with_its_length_and_time(archive):
    rows = {each.path: each for each in planned(archive).manifest.recordings()}
    assert list(rows) == sorted(rows)
    assert [each.recording for each in rows.values()] == list(range(9))
    first = rows["north/20260601_040000.wav"]
    assert (first.rate, first.channels, first.seconds, first.samples) == (8000, 1, 20.0, 160_000)
    assert (first.site, first.date, first.utc_offset) == ("north", "2026-06-01", None)
    # Nobody knows the offset: the clock on the wall is counted as if it were UTC.
    assert first.started == datetime(2026, 6, 1, 4, tzinfo=UTC).timestamp() * 1000
    assert first.bytes == (archive / first.path).stat().st_size
    assert first.mark == str((archive / first.path).stat().st_mtime_ns)
    south = rows["south/20260601T040000+0200.flac"]
    assert south.started == datetime(2026, 6, 1, 2, tzinfo=UTC).timestamp() * 1000
    assert (south.utc_offset, south.date) == (120, "2026-06-01")
    assert (rows["night.wav"].site, rows["night.wav"].date) == ("", "")
    assert rows["cut.wav"].seconds == 20.0  # what its header promises
    assert rows["south/empty.wav"].why == "the file is empty (0 bytes): was it copied whole?"
    assert rows["south/words.mp3"].why == "holds text, not audio"


def test_items_are_runs_of_a_site_and_date_or_pieces(archive):
    made = planned(archive)
    items = [made.manifest.item(number) for number in range(len(made.manifest))]
    told = [
        (item.number, item.kind, [each.path.rpartition("/")[2] for each in item.recordings],
         item.begin, item.end, item.piece, item.n_pieces, item.result_number)
        for item in items
    ]  # fmt: skip
    third = 150 * 8000 // 3
    night = ["night.wav"]
    assert told == [
        (0, "piece", night, 0, third, 0, 3, 0),
        (1, "piece", night, third, 2 * third, 1, 3, 0),
        (2, "piece", night, 2 * third, 3 * third, 2, 3, 0),
        (3, "whole", ["cut.wav"], 0, 0, 0, 0, 3),
        (4, "whole", [f"20260601_04{n:02d}00.wav" for n in range(3)], 0, 0, 0, 0, 4),
        (5, "whole", ["20260602_040000.wav"], 0, 0, 0, 0, 5),
        (6, "whole", ["20260601T040000+0200.flac"], 0, 0, 0, 0, 6),
    ]
    assert sum(item.seconds for item in items) == made.manifest.plan.seconds == 280.0
    shorter = planned(archive, 45 / 60 + 0.3)  # 63 s: the same items
    assert shorter.manifest.plan.id == made.manifest.plan.id
    assert len(planned(archive, 120).manifest) == 4


def test_a_plan_is_written_and_read_whole(archive, tmp_path):
    made, place = planned(archive), LocalPlace(tmp_path / "out")
    for name, data in made.files.items():
        place.put_whole(name, data)
    assert list(made.files)[-1] == "manifest/plan.json"
    read = read_manifest(place)
    assert read.plan == made.manifest.plan
    assert list(read.recordings()) == list(made.manifest.recordings())
    assert [read.item(n) for n in range(len(read))] == [
        made.manifest.item(n) for n in range(len(read))
    ]
    again, files = make_manifest(
        made.manifest.plan, list(read.recordings()), (read.item(n) for n in range(len(read)))
    )
    assert (again.plan, files) == (made.manifest.plan, made.files)
    place.put_whole("manifest/items.parquet", made.files["manifest/recordings.parquet"])
    with pytest.raises(StoreError, match="the tables of the manifest are not those of its plan"):
        read_manifest(place)
    with pytest.raises(StoreError, match="holds no plan: make one with `streamclf archive plan"):
        read_manifest(LocalPlace(tmp_path / "other"))


def test_the_command_writes_a_plan_once(streamclf, archive, tmp_path):
    plan = ("archive", "plan", archive, "--out", tmp_path / "out", "--item-minutes", 1)
    done = streamclf(*plan)
    assert (done.code, done.out) == (
        0, f"{tmp_path}/out: 7 recordings, 0:04:40 h, in 7 items; 2 cannot be opened\n"
    )  # fmt: skip
    said = [line for line in done.err.splitlines() if line.startswith("streamclf: ")]
    assert said == [
        "streamclf: warning: 2 of 9 cannot be opened and are left out:",
        "streamclf: warning: south/empty.wav: the file is empty (0 bytes): was it copied whole?",
        "streamclf: warning: south/words.mp3: holds text, not audio",
    ]
    again = streamclf(*plan)
    assert (again.code, again.err) == (
        2,
        f"streamclf: error: --out {tmp_path}/out: holds a plan of {archive} already: run it; "
        "recordings that came since get a plan of their own, with another --out; or replace it "
        "with --overwrite\n",
    )
    (tmp_path / "out/manifest/plan.json").write_text("{")
    assert streamclf(*plan).code == 1
    assert streamclf(*plan, "--overwrite").code == 0
    made = json.loads((tmp_path / "out/manifest/plan.json").read_text())
    assert (made["root"], made["recordings"], made["unopened"]) == (str(archive), 9, 2)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("{out}/nothing", "--out", "{out}/o"), 1, "{out}/nothing: is not there: name the folder"),
        (("{in}/night.wav", "--out", "{out}/o"), 1, "{in}/night.wav: is a file: name the folder"),
        (("{in}", "--out", "{in}"), 2, "--out {in}: is the archive itself: name another folder"),
        (("{in}", "--out", "{out}/o", "--item-minutes", "0"), 2, "--item-minutes 0: must be 1 to"),
        (("{in}/south/none", "--out", "{out}/o"), 1, "{in}/south/none: the folder holds no audio"),
    ],
)
def test_what_cannot_be_planned_is_one_line(streamclf, archive, tmp_path, arguments, code, said):
    (archive / "south/none").mkdir()
    names = {"{in}": str(archive), "{out}": str(tmp_path)}

    def fill(text: str) -> str:
        for mark, name in names.items():
            text = text.replace(mark, name)
        return text

    done = streamclf("archive", "plan", *map(fill, arguments))
    assert done.code == code
    assert done.err.startswith(f"streamclf: error: {fill(said)}")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_what_the_listing_cannot_read_is_in_the_plan_with_its_reason(streamclf, archive, tmp_path):
    (archive / "south/gone.wav").symlink_to("nowhere.wav")
    (archive / "south/loop.wav").symlink_to("loop.wav")
    shutil.copy(archive / "night.wav", os.fsencode(archive) + b"/south/n\xff.wav")
    shutil.copy(archive / "south/empty.wav", archive / "two\nlines.wav")
    done = streamclf("archive", "plan", archive, "--out", tmp_path / "out")
    unopened = read_manifest(LocalPlace(tmp_path / "out")).unopened()
    assert unopened["south/gone.wav"] == "cannot be opened: no such file or directory"
    assert unopened["south/loop.wav"].startswith("cannot be read: too many levels of symbolic")
    assert unopened["south/n\\xff.wav"] == "its name is not UTF-8: rename it"
    assert len(unopened) == 6
    lines = [line for line in done.err.splitlines() if line.startswith("streamclf: ")]
    assert lines[0] == "streamclf: warning: 6 of 13 cannot be opened and are left out:"
    assert len(lines) == 7
    assert "two\nlines" not in done.err
    status = streamclf("archive", "status", tmp_path / "out")
    assert "13 recordings of" in status.out
    assert "of which 6 cannot be opened" in status.out


@pytest.mark.parametrize("name", ["a.wav", "two\nlines.wav", "b: c.wav"])
def test_a_reason_does_not_say_the_name_once_more(tmp_path, name):
    (tmp_path / name).write_bytes(b"RIFF")
    with pytest.raises(RecordingError) as raised:
        Recording(tmp_path / name, name)
    assert name[-5:] not in without_name(str(raised.value), name)


def test_results_that_cannot_be_put_are_told_before_headers_are_opened(
    streamclf, archive, tmp_path, monkeypatch
):
    (tmp_path / "out").write_text("a file")
    monkeypatch.setattr("streamclf.archive.plan.Recording", None)
    done = streamclf("archive", "plan", archive, "--out", tmp_path / "out")
    assert done.code == 1
    assert done.err == (
        f"streamclf: error: {tmp_path}/out/manifest/.probe: cannot be written: not a directory\n"
    )


def test_an_archive_of_which_nothing_opens_has_no_plan(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    with pytest.raises(PlaceError, match=r"none of its 1 recordings can be opened; the first: a"):
        planned(tmp_path)
