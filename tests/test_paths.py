import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import soundfile
import toys

from streamclf.sources.recording.find_recordings import find_recordings


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
    every = find_recordings([str(name) for name in names])
    assert every.errors == []
    return [path.as_posix() for path in every.paths]


def failed(*names) -> list[str]:
    return [str(error) for error in find_recordings([str(name) for name in names]).errors]


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


HEAD = b"RIFF\x24\0\0\0WAVEfmt "


@pytest.mark.parametrize("name", ["deep", "deep/*", "deep/**/*"])
def test_audio_that_is_left_out_for_its_ending_is_told(tree, name):
    for path in ("deep/nagra.BWF", "deep/ZOOM1.TMP", "deep/noending", "deep/map.json"):
        put(tree / path).write_bytes(HEAD)
    put(tree / "deep/sm2.wac")
    put(tree / "deep/plain.dat")
    if os.name != "nt":
        os.mkfifo(tree / "deep/pipe")
    every = find_recordings([name, "deep/noending"])
    assert [path.name for path in every.paths] == ["d.webm", "c.mp3", "nagra.BWF", "noending"]
    assert (every.errors, every.notes) == (
        [],
        [
            f"warning: {name}: left out 1 file with audio, but with other endings "
            "(deep/ZOOM1.TMP): name the files themselves to hear them",
            f"warning: {name}: left out 1 recording that only programs of Wildlife Acoustics read "
            "(deep/sm2.wac): convert to WAV first",
        ],
    )


def test_a_name_that_looks_like_a_pattern_is_a_name_first(tree):
    assert found("odd[1].wav") == ["odd[1].wav"]


def test_a_missing_file_is_left_for_opening_to_tell(tree):
    assert found("missing.wav") == ["missing.wav"]


def test_a_folder_without_audio_is_said_and_the_rest_goes_on(tree):
    every = find_recordings(["none", "b.wav"])
    assert [path.name for path in every.paths] == ["b.wav"]
    assert [str(error) for error in every.errors] == [
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


HIDDEN = (
    ".Trash-1000/files", ".snapshots/1", "$RECYCLE.BIN", "#recycle", "@eaDir", "lost+found",
    "System Volume Information", "deep/.hidden", "__MACOSX",
)  # fmt: skip


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_what_is_hidden_or_was_thrown_away_is_left_alone(tree):
    for folder in HIDDEN:
        put(tree / folder / "x.wav")
    put(tree / "recycled music" / "x.wav")
    kept = ["a.FLAC", "b.wav", "deep/d.webm", "deep/er/c.mp3", "odd[1].wav", "recycled music/x.wav"]
    assert found(".") == kept
    assert found("**/*") == kept
    assert found("*") == kept


def test_a_hidden_folder_that_is_named_is_heard(tree):
    put(tree / ".Trash-1000" / "files" / "x.wav")
    assert found(".Trash-1000") == [".Trash-1000/files/x.wav"]
    assert found(".T*/files/*.wav") == [".Trash-1000/files/x.wav"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
class TestLinks:
    def test_links_to_folders_are_followed(self, tree):
        put(tree / "disk" / "site" / "x.wav")
        (tree / "links").mkdir()
        (tree / "links" / "first").symlink_to(tree / "disk")
        assert found("links") == ["links/first/site/x.wav"]
        assert found("links/**/*.wav") == ["links/first/site/x.wav"]

    @pytest.mark.parametrize("name", ["deep", "deep/**/*"])
    def test_each_real_folder_is_walked_once_and_by_its_own_name(self, tree, name):
        (tree / "deep" / "again").symlink_to("er")
        (tree / "deep" / "up").symlink_to("..")
        (tree / "deep" / "er" / "down").symlink_to("..")
        kept = ["deep/d.webm", "deep/er/c.mp3"]
        assert [each for each in found(name) if "/up/" not in each] == kept
        up = [each for each in found(name) if "/up/" in each]
        assert up == ["deep/up/a.FLAC", "deep/up/b.wav", "deep/up/odd[1].wav"]

    def test_two_links_up_end(self, tree):
        for index in range(12):
            (tree / "deep" / f"up{index}").symlink_to("..")
        assert len(found("**/*.wav")) == 2
        assert len(found("deep")) == 5

    def test_a_folder_named_twice_is_heard_once(self, tree):
        (tree / "again").symlink_to("deep")
        assert found("deep", "again") == ["deep/d.webm", "deep/er/c.mp3"]
        assert found("deep/er", "deep") == ["deep/er/c.mp3", "deep/d.webm"]

    def test_links_that_lead_nowhere_are_told(self, tree):
        (tree / "deep" / "x.wav").symlink_to("/nowhere/x.wav")
        (tree / "deep" / "site").symlink_to("/nowhere/site")
        every = find_recordings(["deep"])
        assert [path.name for path in every.paths] == ["d.webm", "c.mp3", "x.wav"]
        assert every.notes == ["warning: deep/site: is a link to what is not there, and left out"]

    def test_a_link_to_itself_is_told(self, tree):
        (tree / "deep" / "ring").symlink_to("ring")
        every = find_recordings(["deep", "b.wav"])
        assert len(every.paths) == 3
        (line,) = map(str, every.errors)
        assert line.startswith("deep/ring: cannot be read: too many levels of symbolic links")


AS_NOBODY = """
import os, sys
from streamclf.cli.main import run
assert run(["file", "open", *sys.argv[1:]]) == 0  # imports all: nobody may not read Python's files
print("as nobody", flush=True)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
sys.exit(run(["file", ".", *sys.argv[1:]]))
"""


@pytest.mark.skipif(os.name == "nt" or os.getuid() != 0, reason="root can become someone else")
def test_the_command_tells_a_folder_that_may_not_be_read(tone_model):
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        model = shutil.copy(tone_model, place / "tones.onnx")
        for name in ("open/x.wav", "closed/y.wav"):
            (place / name).parent.mkdir()
            soundfile.write(place / name, toys.tone(1000, 3), toys.RATE)
        (place / "closed").chmod(0o700)
        command = [sys.executable, "-c", AS_NOBODY, "--model", model, "--jobs", "1"]
        done = subprocess.run(
            command, cwd=place, capture_output=True, text=True, timeout=120,
            env={**os.environ, "HOME": folder, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "open/x.wav" in done.stdout.partition("as nobody")[2]
    told = "closed: cannot be read: permission denied; what lies there is not heard"
    assert f"error: {told}" in done.stderr


@pytest.fixture
def closed(tree, monkeypatch) -> Path:
    """A folder that the system refuses to list, for root, too."""
    refused, scan, list_names = tree / "deep" / "er", os.scandir, os.listdir

    def refuse(path, real):
        if Path(path).absolute() == refused:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", lambda path=".": refuse(path, scan))
    monkeypatch.setattr(os, "listdir", lambda path=".": refuse(path, list_names))
    return refused


@pytest.mark.parametrize("name", ["deep", ".", "**/*", "deep/*/*.mp3", "*"])
def test_a_subfolder_that_may_not_be_read_is_told(closed, name):
    every = find_recordings([name, "b.wav"])
    assert Path("b.wav") in every.paths
    assert [str(error) for error in every.errors] == [
        "deep/er: cannot be read: permission denied; what lies there is not heard"
    ]


@pytest.mark.skipif(os.name == "nt", reason="there are other standard streams")
def test_standard_input_is_told_from_a_file_of_that_name(tree):
    put(tree / "-")
    assert found("-") == ["-"]
    assert found("./-") == [(tree / "-").as_posix()]


def test_a_url_is_sent_where_it_is_heard(tree):
    told = "is a URL, not a file: streamclf listen --source {} listens to it"
    assert failed("http://x.org/a.mp3", "rtsp://me:secret@cam/1") == [
        f"{url}: {told.format(url)}" for url in ("http://x.org/a.mp3", "rtsp://me:***@cam/1")
    ]
