"""Places of archives and results: what is put whole, asked again, and never told."""

import re
import threading
from collections import deque
from urllib.parse import unquote

import numpy as np
import object_store
import pytest
import soundfile
import toys

from streamclf.archive.local_place import LocalPlace
from streamclf.archive.place import ChangedError, Patience, without_credentials
from streamclf.archive.places import open_place
from streamclf.archive.remote_file import FIRST_BYTES, RANGE_BYTES
from streamclf.archive.remote_place import RemotePlace, _find_secrets
from streamclf.core.errors import PlaceError, UsageError
from streamclf.sources.recording.recording import Recording

QUICK = Patience(tries=4, first_s=0.001, limit_s=0.002, timeout_s=30.0)


@pytest.fixture(scope="module")
def store():
    with object_store.serve_store() as served, pytest.MonkeyPatch.context() as patch:
        object_store.use_store(patch, served)
        object_store.make_bucket("field")
        yield served


@pytest.fixture
def place(store):
    store.forget()
    return RemotePlace("s3://field/here/", QUICK)


def test_a_local_file_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    place = LocalPlace(tmp_path / "results")
    assert place.names() == {}
    assert not place.exists("events/a/1.parquet")
    place.put_whole("events/a/1.parquet", b"first")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        with pytest.raises(PlaceError) as raised:
            place.put_whole("events/a/1.parquet", b"second")
    assert str(raised.value) == (
        f"{tmp_path}/results/events/a/1.parquet: cannot be written: no space left on device: make "
        "room, and the same command goes on"
    )
    assert place.read("events/a/1.parquet") == b"first"
    assert [path.name for path in (tmp_path / "results/events/a").iterdir()] == ["1.parquet"]
    place.put_whole("events/a/1.parquet", b"second")
    assert place.names("events") == {"events/a/1.parquet": 6}
    place.remove("events/a/1.parquet")
    place.remove("events/a/1.parquet")
    with pytest.raises(FileNotFoundError):
        place.read("events/a/1.parquet")


def test_what_a_dead_worker_left_aside_is_no_result(tmp_path):
    place = LocalPlace(tmp_path)
    (tmp_path / ".1.parquet.0123456789ab.part").write_bytes(b"half")
    assert place.names() == {}


def test_places_are_told_by_their_names(tmp_path):
    assert open_place(f"file://{tmp_path}").url == str(tmp_path)
    assert open_place(str(tmp_path)).url == str(tmp_path)
    with pytest.raises(UsageError, match=r"nosuch://x: .*[Pp]rotocol not known"):
        open_place("nosuch://x")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket/a/", "s3://bucket/a"),
        ("sftp://ann:pa/ss@host/data", "sftp://ann@host/data"),
        ("ssh://ann@host/data", "ssh://ann@host/data"),
        ("https://host/a?X-Amz-Signature=abc&X-Amz-Credential=d", "https://host/a"),
        ("s3://bucket/a@b:c/d", "s3://bucket/a@b:c/d"),
    ],
)
def test_urls_are_kept_without_credentials(url, shown):
    assert without_credentials(url) == shown


def test_objects_are_put_in_one_request_and_listed(store, place):
    place.put_whole("events/r/x/1.parquet", b"one")
    assert [(method, path) for method, path, _ in store.requests] == [
        ("PUT", "/field/here/events/r/x/1.parquet")
    ]
    place.put_whole("gaps/r/x/1.parquet", b"other")
    assert place.names("events/r") == {"events/r/x/1.parquet": 3}
    assert place.names("nothing") == {}
    assert place.exists("gaps/r/x/1.parquet")
    assert place.read("gaps/r/x/1.parquet") == b"other"
    place.remove("gaps/r/x/1.parquet")
    assert not place.exists("gaps/r/x/1.parquet")
    with pytest.raises(FileNotFoundError):
        place.read("gaps/r/x/1.parquet")


def test_where_a_half_file_would_show_it_is_put_aside_first(monkeypatch):
    place = RemotePlace("memory://results", QUICK)
    place._scheme = "sftp"
    put = place._fs.pipe_file
    asides: list[str] = []
    monkeypatch.setattr(
        place._fs, "pipe_file", lambda path, data: (asides.append(path), put(path, data))
    )
    for data in (b"first", b"second"):
        place.put_whole("events/1.parquet", data)
        assert place.read("events/1.parquet") == data
    assert place.names() == {"events/1.parquet": 6}
    assert len(asides) == 2
    assert all(path.startswith("/results/events/.1.parquet.") for path in asides)
    assert len(place._fs.find("/results")) == 1


@pytest.mark.parametrize("kind", ["500", "cut"])
def test_requests_that_fail_are_made_again(store, place, kind):
    place.put_whole("twice.bin", bytes(100_000))
    asked = [lambda: place.read("twice.bin"), lambda: place.names("")["twice.bin"]]
    if kind == "500":  # the answer to a PUT has nothing that could be cut
        asked.append(lambda: place.put_whole("twice.bin", bytes(100_000)))
    for ask, answer in zip(asked, [bytes(100_000), 100_000, None], strict=False):
        store.forget()
        failures = iter([kind, kind])
        with store.failing(lambda request, left=failures: next(left, "")):
            assert ask() == answer
        assert len(store.requests) >= 3


def test_a_store_that_is_down_is_one_line(store, place):
    with store.failing(lambda request: "500"), pytest.raises(PlaceError) as raised:
        place.put_whole("down.bin", b"x")
    said = str(raised.value)
    assert re.match(r"s3://field/here/down\.bin: cannot be written, 4 tries in \d+ s: ", said)
    assert len(store.requests) == 4
    assert object_store.SECRET not in said
    assert object_store.KEY not in said


def test_a_late_answer_is_asked_for_again(store):
    hasty = RemotePlace("s3://field/here/", Patience(3, 0.001, 0.002, timeout_s=1.5))
    hasty.put_whole("late.bin", b"x")
    gone = threading.Event()
    late = iter([lambda: gone.wait(60)])
    with store.failing(lambda request: str(next(late, str)() or "")[:0]):
        assert hasty.read("late.bin") == b"x"
    gone.set()


def test_waiting_ends_at_once_when_the_place_is_closed(store):
    patient = RemotePlace("s3://field/here/", Patience(9, 60.0, 60.0, 60.0))
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            patient.exists("x")
        except PlaceError as error:
            errors.append(error)

    with store.failing(lambda request: "500"):
        asking = threading.Thread(target=ask)
        asking.start()
        object_store.until(lambda: store.requests)
        patient.close()
        asking.join(30)
    assert str(errors[0]) == "s3://field/here/x: cannot be looked for: stopped"


def test_there_is_a_reason_why_nothing_can_be_listed_or_written(store, place):
    with pytest.raises(PlaceError, match="s3://field/empty: there is nothing: is its name right"):
        RemotePlace("s3://field/empty", QUICK).list_recordings()
    with pytest.raises(PlaceError, match=r"s3://no-bucket/a/b: cannot be written: .*bucket"):
        RemotePlace("s3://no-bucket/a", QUICK).put_whole("b", b"x")


@pytest.mark.parametrize("password", ["pass-word", "p@ss-word", "p%40ss-word", "pa/ss-word"])
def test_a_password_in_a_url_is_in_no_message(password):
    found = _find_secrets(f"ftp://ann:{password}@host/a", {})
    assert {password, unquote(password)} <= set(found)


def test_secrets_of_a_store_are_in_no_message(monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setitem(
        fsspec.config.conf, "s3", {"key": "AKIAKNOWN", "secret": "deep-secret", "token": "tok-en"}
    )
    place = RemotePlace("s3://somewhere/x", Patience(1, 0.0, 0.0, 1.0))

    def fail() -> None:
        raise OSError("who sends deep-secret and tok-en to https://ann:pass-word@host/?sig=sigsig")

    with pytest.raises(PlaceError) as raised:
        place._ask("name", "cannot be read", fail)
    said = str(raised.value)
    assert "who sends *** and ***" in said
    for secret in ("deep-secret", "tok-en", "pass-word", "sigsig"):
        assert secret not in said


def samples(recording: Recording) -> np.ndarray:
    return np.concatenate([each.waveform for each in recording.blocks(8000)], axis=1)


FORMATS = [
    ("wav", "PCM_16"), ("flac", "PCM_16"), ("aiff", "PCM_24"), ("caf", "FLOAT"), ("mp3", None),
    ("w64", "PCM_16"), ("ogg", None),
]  # fmt: skip


@pytest.mark.parametrize(("ending", "subtype"), FORMATS)
def test_a_streamed_recording_is_that_of_its_path(store, place, tmp_path, ending, subtype):
    sound = np.random.default_rng(1).normal(0, 0.1, (40_000, 2))
    path = tmp_path / f"20260601_043000.{ending}"
    soundfile.write(path, sound, 8000, subtype=subtype)
    place.put_whole(f"a/{path.name}", path.read_bytes())
    file = place.open_file(f"a/{path.name}", path.stat().st_size)
    with Recording(path) as local, Recording(file, "a/x") as streamed:
        assert streamed.name == "a/x"
        for name in ("duration_s", "promised_s", "sample_rate", "n_channels", "started"):
            assert getattr(streamed, name) == getattr(local, name)
        assert (samples(streamed) == samples(local)).all()


def test_ranges_grow_and_come_while_others_are_read(store, place, tmp_path):
    n_bytes = 3 * RANGE_BYTES
    data = np.random.default_rng(1).bytes(n_bytes)
    place.put_whole("long.bin", data)
    store.forget()
    with place.open_file("long.bin", n_bytes).open() as file:
        read = b"".join(iter(lambda: file.read(50_000), b""))
    assert read == data
    asked = [tuple(map(int, each[6:].split("-"))) for *_, each in store.requests]
    sizes = sorted(end + 1 - begin for begin, end in asked)
    assert sum(sizes) == n_bytes
    assert sizes[0] <= FIRST_BYTES
    assert sizes[-1] == RANGE_BYTES
    assert len(sizes) < 12


@pytest.mark.parametrize("kind", ["500", "cut"])
def test_a_range_that_fails_is_fetched_again(store, place, tmp_path, kind):
    path = tmp_path / "tone.wav"
    soundfile.write(path, toys.tone(440, 60), 8000, subtype="PCM_16")
    place.put_whole("tone.wav", path.read_bytes())
    calls = iter(range(1000))
    with store.failing(lambda request: kind if next(calls) % 2 else ""):
        file = place.open_file("tone.wav", path.stat().st_size)
        with Recording(file) as streamed, Recording(path) as local:
            assert (samples(streamed) == samples(local)).all()
    assert next(calls) > 6


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3"])
def test_a_range_that_cannot_be_had_is_no_end_of_a_recording(store, place, tmp_path, ending):
    path = tmp_path / f"tone.{ending}"
    soundfile.write(path, np.random.default_rng(1).normal(0, 0.2, 8000 * 60), 8000)
    place.put_whole(path.name, path.read_bytes())
    file = place.open_file(path.name, path.stat().st_size)
    with Recording(file) as recording:
        blocks = recording.blocks(8000)
        next(blocks)
        with (
            store.failing(lambda request: "500"),
            pytest.raises(PlaceError, match=r"4 tries in \d+ s"),
        ):
            deque(blocks, maxlen=0)
    with store.failing(lambda request: "500"), pytest.raises(PlaceError, match=r"4 tries in \d+ s"):
        Recording(place.open_file(path.name, path.stat().st_size))


def test_a_recording_that_has_changed_is_told(store, place, tmp_path):
    place.put_whole("a.wav", b"12345")
    listed = next(each for each in place.list_recordings().files if each.path == "a.wav")
    place.check_unchanged("a.wav", listed.bytes, listed.mark)
    place.put_whole("a.wav", b"54321")
    with pytest.raises(ChangedError, match=r"s3://field/here/a.wav: has changed since the plan"):
        place.check_unchanged("a.wav", listed.bytes, listed.mark)
    place.put_whole("a.wav", b"123456")
    with pytest.raises(ChangedError, match="has changed since the plan: 6 bytes, planned 5: plan"):
        place.check_unchanged("a.wav", listed.bytes, listed.mark)
    place.remove("a.wav")
    with pytest.raises(ChangedError, match=r"a.wav: is not there any more"):
        place.check_unchanged("a.wav", listed.bytes, listed.mark)


def test_folders_and_stores_find_the_same_recordings(store, tmp_path):
    names = [
        "a.wav", "north/2026/b.FLAC", "north/.hidden/c.wav", ".d.wav", "notes.txt", "e.json",
        "@eaDir/f.wav", "south/g.mp3", "lost+found/h.wav", "south/ZOOM1.TMP", "south/i.WAC",
    ]  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    object_store.upload(tmp_path, "s3://field/tree")
    here = LocalPlace(tmp_path).list_recordings().files
    listed = RemotePlace("s3://field/tree", QUICK).list_recordings()
    there = listed.files
    assert listed.notes == [
        "warning: s3://field/tree: left out 1 file of unknown endings "
        "(south/ZOOM1.TMP): rename those that hold audio",
        "warning: s3://field/tree: left out 1 recording that only programs of Wildlife Acoustics "
        "read (south/i.WAC): convert to WAV first",
    ]
    assert [(each.path, each.bytes) for each in here] == [(each.path, each.bytes) for each in there]
    assert [each.path for each in here] == ["a.wav", "north/2026/b.FLAC", "south/g.mp3"]
    assert all(re.fullmatch(r"ETag=[0-9a-f]{32}", each.mark) for each in there)
