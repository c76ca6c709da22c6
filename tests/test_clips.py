"""The audio of each event, as a file: what is in it, what it is called, and what loses none."""

import errno
import os
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import soundfile
import toys

from streamclf.core.clip_tags import is_clip
from streamclf.core.errors import SinkError
from streamclf.core.records import Average, Block, Gap, Scores, SoundEvent, StreamStarted
from streamclf.sinks.clips import clips as clips_module
from streamclf.sinks.clips.clips import BackgroundClips, ClipSink, audiomoth_comment, clip_path
from streamclf.sources.recording.recording import Recording
from streamclf.sources.recording.start_time import recorded_at

RATE = 1000
STREAM = StreamStarted("site/night.wav", RATE, ["dog", "rain"], "single-label")


def ramp(begin: int, end: int) -> Block:
    """Each sample says where it lies, in steps of 16 bits."""
    return Block(begin, (np.arange(begin, end) % 30_000 / 32_768)[None].astype("f"), RATE)


def average(position: int) -> Average:
    scores = Scores(position, 1500, np.zeros(2, np.float32))
    return Average(scores, scores.values)


def hear(sink, begin, end, step=700):
    for at in range(begin, end, step):
        sink.hear(ramp(at, min(at + step, end)))


def clips_below(folder: Path) -> dict[str, list[int]]:
    found = {}
    for path in sorted(folder.rglob("*.flac")):
        samples, rate = soundfile.read(path, dtype="int16")
        assert rate == RATE
        found[path.relative_to(folder).as_posix()] = samples.tolist()
    return found


def test_a_clip_is_the_event_and_half_a_second_around_it(tmp_path):
    sink = ClipSink(tmp_path / "clips")
    sink.begin(STREAM)
    hear(sink, 0, 9000)
    sink.write(average(0))
    assert not (tmp_path / "clips").exists()
    sink.write(SoundEvent("dog", 2000, 4000, 0.934))
    sink.write(SoundEvent("rain", 200, 8800, 1.0))
    sink.write(SoundEvent("silence", 1000, 3000, 1.0))
    sink.close()
    with soundfile.SoundFile(next(tmp_path.rglob("000002*"))) as file:
        assert (file.title, file.comment) == ("dog", "")
    assert clips_below(tmp_path / "clips") == {
        "dog/site_night/000002.000_93.flac": list(range(1500, 4500)),
        "rain/site_night/000000.200_100.flac": list(range(9000)),
    }
    assert not list(tmp_path.rglob(".*"))


def test_of_a_long_event_the_last_seconds_are_kept(tmp_path):
    sink = ClipSink(tmp_path)
    sink.begin(STREAM)
    for second in range(60):
        hear(sink, 1000 * second, 1000 * (second + 1))
        sink.write(average(1000 * second))
        assert len(sink._blocks) <= 2 * 33
    sink.write(SoundEvent("rain", 3000, 55_000, 0.5))
    (samples,) = clips_below(tmp_path).values()
    assert samples == [at % 30_000 for at in range(40_000, 55_500)]


def test_audio_waits_for_a_batch_of_windows(tmp_path):
    sink = ClipSink(tmp_path)
    sink.begin(STREAM)
    hear(sink, 0, 90_000)  # a batch: much audio, then all its results
    for second in range(12):
        sink.write(average(1000 * second))
    sink.write(SoundEvent("dog", 2000, 3000, 0.5))
    (samples,) = clips_below(tmp_path).values()
    assert samples == list(range(1500, 3500))


def test_what_is_missing_in_an_event_is_silence(tmp_path):
    sink = ClipSink(tmp_path)
    sink.begin(STREAM)
    hear(sink, 0, 3000)
    sink.hear(Gap(3000, 500, RATE, "overflow"))
    hear(sink, 3500, 6000)
    sink.write(SoundEvent("dog", 2000, 5000, 0.5))
    sink.write(SoundEvent("dog", 50_000, 51_000, 0.5))  # of which nothing is kept
    (samples,) = clips_below(tmp_path).values()
    assert samples == [*range(1500, 3000), *[0] * 500, *range(3500, 5500)]


def test_another_stream_has_audio_of_its_own(tmp_path):
    sink = ClipSink(tmp_path)
    sink.begin(STREAM)
    hear(sink, 0, 5000)
    sink.write(SoundEvent("dog", 1000, 2000, 0.5))
    sink.begin(StreamStarted("other.wav", RATE, ["dog"], "single-label"))
    sink.hear(Block(0, np.full((1, 4000), 0.5, np.float32), RATE))
    sink.write(SoundEvent("dog", 1000, 3900, 0.5))
    assert set(clips_below(tmp_path)["dog/other/000001.000_50.flac"]) == {16384}


def test_a_stream_that_goes_on_where_another_ended_has_its_audio(tmp_path):
    """As in the dashboard, where another model goes on."""
    sink = ClipSink(tmp_path)
    sink.begin(STREAM)
    hear(sink, 0, 3000)
    sink.begin(replace(STREAM, position=3000))
    hear(sink, 3000, 6000)
    sink.write(SoundEvent("dog", 3200, 4000, 0.5))
    (samples,) = clips_below(tmp_path).values()
    assert samples == list(range(2700, 4500))


ZONE = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("source", "label", "started", "live", "name"),
    [
        ("a.wav", "dog", None, False, "dog/a/000012.500_93.flac"),
        ("/x/y 1/a.b.flac", "dog", None, False, "dog/x_y 1_a.b/000012.500_93.flac"),
        ("../a", "door, slammed", None, False, "door_ slammed/a/000012.500_93.flac"),
        ("...", "../..", None, False, "_/_/000012.500_93.flac"),
        ("N" * 300 + ".wav", "x" * 300, None, False,
         "x" * 80 + "/" + "N" * 80 + "/000012.500_93.flac"),
        ("Mic: USB (hw:1,0)", "dog", datetime(2026, 3, 28, 23, 59, 59, 500_000, ZONE), True,
         "dog/Mic_ USB _hw_1_0_ 2026-03-29/20260329_000012_000_93.flac"),
        ("S_20240601_043000.wav", "hund", datetime(2024, 6, 1, 4, 30), False,
         "hund/S_20240601_043000/20240601_043012_500_93.flac"),
        ("bär.wav", "vögel", None, False, "vögel/bär/000012.500_93.flac"),
    ],
)  # fmt: skip
def test_clips_are_named_by_class_recording_and_time(source, label, started, live, name):
    stream = StreamStarted(source, RATE, [label], "single-label", started, live=live)
    path = clip_path(stream, SoundEvent(label, 12_500, 14_000, 0.9349))
    assert path.as_posix() == name
    if started is not None:
        told = recorded_at(path)
        assert told == (started + timedelta(seconds=12.5)).replace(tzinfo=None, microsecond=0)
        assert recorded_at(path, audiomoth_comment(stream, 12_000)) == started + timedelta(
            seconds=12
        )


def test_a_clip_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "dog").write_text("a file where the class's folder should be")
    sink = ClipSink(tmp_path)
    sink.begin(STREAM)
    hear(sink, 0, 3000)
    with pytest.raises(SinkError, match="the clip cannot be written: "):
        sink.write(SoundEvent("dog", 1000, 2000, 0.5))


def test_a_full_disk_is_told_and_leaves_no_half_clip(tmp_path, monkeypatch):
    write_bytes = Path.write_bytes

    def fill_up(path, data):
        write_bytes(path, bytes(data)[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    sink = ClipSink(tmp_path)
    sink.begin(STREAM)
    hear(sink, 0, 3000)
    with pytest.raises(SinkError, match=r"_50\.flac: the clip .*written: no space left on device$"):
        sink.write(SoundEvent("dog", 1000, 2000, 0.5))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_model_that_gives_no_numbers_costs_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(clips_module, "MAX_PENDING_S", 50.0)
    sink = ClipSink(tmp_path)
    sink.begin(STREAM)
    hear(sink, 0, 200_000, step=1000)
    assert len(sink._blocks) == 50


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes here alone")
def test_a_folder_may_have_any_name(tmp_path):
    sink = ClipSink(Path(os.fsdecode(os.fsencode(tmp_path) + b"/x\xff")))
    sink.begin(STREAM)
    hear(sink, 0, 3000)
    sink.write(SoundEvent("dog", 1000, 2000, 0.5))
    assert len(list(tmp_path.rglob("*.flac"))) == 1


def test_a_live_run_counts_clips_that_cannot_be_written_and_goes_on(tmp_path):
    told = []
    (tmp_path / "dog").write_text("a file where the class's folder should be")
    sink = BackgroundClips(tmp_path, told.append)
    sink.begin(STREAM)
    hear(sink, 0, 9000)
    for onset in (1000, 3000):
        sink.write(SoundEvent("dog", onset, onset + 500, 0.5))
    sink.write(SoundEvent("rain", 5000, 6000, 0.5))
    sink.finish()
    sink.close()
    sink.close()
    assert list(clips_below(tmp_path)) == ["rain/site_night/000005.000_50.flac"]
    assert sink.n_lost == 2
    failed, again, at_end = told
    assert "the clip cannot be written: " in failed
    assert failed.endswith("; clips are left out until they can be written")
    assert again == f"{tmp_path}: clips are written again"
    assert at_end == f"warning: {tmp_path}: lost 2 clips in all"


def test_a_disk_that_hangs_holds_no_audio_up(tmp_path, monkeypatch):
    let_go, told = threading.Event(), []
    monkeypatch.setattr(clips_module, "write_clip", lambda *_: let_go.wait(60))
    monkeypatch.setattr(clips_module, "CLOSE_S", 0.01)
    sink = BackgroundClips(tmp_path, told.append, limit_bytes=3 * 4 * 2000)
    sink.begin(STREAM)
    hear(sink, 0, 20_000)
    for onset in range(1000, 11_000, 1000):
        sink.write(SoundEvent("dog", onset, onset + 1000, 0.5))
    # Three wait, the first of them in the thread's hands; there is no room for seven.
    assert sink.n_lost == 7
    sink.close()
    assert sink.n_lost == 10
    assert told == [f"warning: {tmp_path}: lost 10 clips in all"]
    let_go.set()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_file_writes_clips(streamclf, write_wav, tone_model, tmp_path, n_jobs):
    tones = list(toys.TONES.values())
    paths = [
        write_wav(np.concatenate([toys.silence(4), toys.tone(tones[k], 4)]), f"day/{k}.wav")
        for k in range(3)
    ]
    found = tmp_path / "clips"
    run = ("file", *paths, "--model", tone_model, "--jobs", n_jobs, "--clips", found)
    rows = [row.split(",") for row in streamclf(*run, "--format", "csv").out.splitlines()[1:]]
    clips = {(path.parts[-3], path.parts[-2][-1]): path for path in found.rglob("*.flac")}
    assert set(clips) == {(row[2], Path(row[1]).stem) for row in rows}
    for _, source, label, onset, offset, *_ in rows:
        heard, rate = soundfile.read(clips[label, Path(source).stem])
        assert rate == toys.RATE
        length = min(float(offset) + 0.5, 8.0) - max(float(onset) - 0.5, 0.0)
        assert len(heard) / rate == pytest.approx(length, abs=1 / rate)


def test_listen_writes_clips_as_file_does(streamclf, write_wav, tone_model, tmp_path):
    tones = list(toys.TONES.values())
    path = write_wav(np.concatenate([toys.silence(3), toys.tone(tones[0], 4)]), "a.wav")
    streamclf("file", path, "--model", tone_model, "--clips", tmp_path / "file")
    live = ("listen", "--source", f"sim:{path}", "--speed", 0, "--no-ui", "--model", tone_model)
    assert streamclf(*live, "--clips", tmp_path / "live").code == 0
    heard = [
        {p.parts[-3]: soundfile.read(p)[0].tolist() for p in (tmp_path / kind).rglob("*.flac")}
        for kind in ("file", "live")
    ]
    assert heard[0] == heard[1]
    assert heard[0]


@pytest.mark.parametrize("zone", [None, UTC, ZONE, timezone(timedelta(hours=-3.5))])
def test_a_clip_tells_when_its_first_sample_sounded(tmp_path, zone):
    started = datetime(2026, 3, 28, 23, 59, 59, 250_000, zone)
    sink = ClipSink(tmp_path)
    sink.begin(StreamStarted("Mic", RATE, ["dog"], "single-label", started, live=True))
    hear(sink, 0, 9000)
    sink.write(SoundEvent("dog", 2000, 4000, 0.934))
    (path,) = tmp_path.rglob("*.flac")
    with Recording(path) as recording:
        assert recording.started == started + timedelta(seconds=1.5)


def test_clips_need_a_folder(streamclf, write_wav, tone_model, on_terminal):
    path = write_wav(toys.tone(440, 2), "a.wav")
    result = streamclf("file", path, "--model", tone_model, "--clips", path)
    assert result.code == 2
    assert result.err.endswith("a.wav: is a file, clips need a folder: name one\n")
    result = streamclf("file", path, "--model", tone_model, "--clips", "x", "--ui")
    assert result.code == 2
    assert (
        "--output, --scores, --clips, --stats, --store and --format cannot go with the"
        in result.err
    )


@pytest.mark.parametrize("command", [["file"], ["listen", "--no-ui", "--source"]])
def test_a_model_without_events_has_no_clips(streamclf, write_wav, tmp_path, command):
    model = toys.write_loudness_meter(tmp_path / "power.onnx")
    path = write_wav(toys.tone(440, 2), "a.wav")
    source = f"sim:{path}" if "listen" in command else path
    result = streamclf(*command, source, "--model", model, "--clips", tmp_path / "x")
    assert result.code == 2
    assert "--clips writes the audio of events, and loudness gives values" in result.err


def cut_clips(streamclf, write_wav, tone_model, folder: Path) -> list[Path]:
    """Clips of a recording, below the folder that it lies in."""
    sound = np.concatenate([toys.silence(4), toys.tone(toys.TONES["low"], 4)])
    write_wav(sound, "rec/night.wav")
    run = ("file", folder, "--model", tone_model, "--format", "csv")
    result = streamclf(*run, "--clips", folder / "clips")
    assert result.code == 0, result.err
    clips = sorted((folder / "clips").rglob("*.flac"))
    assert len(clips) == 2
    return clips


def test_clips_among_the_recordings_are_not_heard_again(streamclf, write_wav, tone_model, tmp_path):
    folder = tmp_path / "rec"
    first, second = cut_clips(streamclf, write_wav, tone_model, folder)
    second.rename(folder / "renamed.flac")  # moved, it is a clip all the same
    soundfile.write(folder / "own.flac", toys.tone(440, 3), toys.RATE)
    run = ("file", "--model", tone_model, "--format", "csv")
    for name in (folder, folder / "**" / "*"):
        result = streamclf(*run, name)
        assert {row.split(",")[1] for row in result.out.splitlines()[1:]} == {
            str(folder / "night.wav"), str(folder / "own.flac")
        }  # fmt: skip
        assert "2 clips that streamclf cut from recordings left out" in result.err
        assert result.code == 0
    assert str(first) in streamclf(*run, first).out
    assert str(first) in streamclf(*run, first.parent / "*.flac").out
    result = streamclf(*run, folder / "clips")
    assert result.code == 1
    assert "the folder holds nothing but 1 clip that streamclf cut from recordings" in result.err


def test_clips_of_the_first_version_are_known_by_title_and_place(tmp_path):
    path = tmp_path / "dog" / "night" / "000002.000_93.flac"
    path.parent.mkdir(parents=True)
    with soundfile.SoundFile(path, "w", 16_000, 1) as file:
        file.title = "dog"
        file.write(np.zeros(1600, np.float32))
    assert is_clip(path)
    other = path.with_name("000002.flac")
    path.rename(other)
    assert not is_clip(other)
    assert not is_clip(tmp_path / "none.flac")
