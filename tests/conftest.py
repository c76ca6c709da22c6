"""What many tests need: a model whose answers are known, sounds, and the command line."""

from __future__ import annotations

import gc
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import frugal_threads  # noqa: F401  (before numpy)
import numpy as np
import prepared
import pytest
import soundfile
import toys
import typer
from forked_workers import ForkedWorkers, watch_for_crashes
from hypothesis import HealthCheck, settings
from live_runs import PATIENCE_S, Listeners, Words
from longest import begin_with_longest

from streamclf.cli import main
from streamclf.core import log
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.sinks.live import background
from streamclf.web import keys

TRUE_COST = keys._N

# Started in a shell's background, or by nohup, all processes below ignore these; what is tested
# must not, unless a test says so.
for _name in ("SIGINT", "SIGHUP"):
    _signal = getattr(signal, _name, None)
    if _signal is not None and signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, signal.default_int_handler if _name == "SIGINT" else signal.SIG_DFL)


# What an example takes depends on what else the machine does.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Collect the tests once for all workers."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(ForkedWorkers())


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Let the garbage collector look at what tests make, and not at the tests themselves.

    Modules and collected tests are half a million objects that live to the end. Without this,
    each full collection during a test goes through all of them, and so do the five with which
    pytest ends.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        # Tests make and drop many small objects; those that weigh memory collect by themselves.
        gc.set_threshold(20_000, 20, 20)
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a crash in native code tell where it was."""
    watch_for_crashes(item.config)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Collect garbage once: the five collections with which pytest ends find nothing then."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the longest tests begin first; the others stay in the order of their files."""
    n_workers = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = begin_with_longest(items, n_workers)


@dataclass(frozen=True)
class CommandResult:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict]:
        """Standard output as JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(scope="session")
def tone_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tone detector's file."""
    return toys.write_tone_detector(
        tmp_path_factory.mktemp("models") / "tones.onnx", toys.toy_card()
    )


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests write out of the user's folders, in the processes that they start too.

    And let `serve` show no page where a test does not ask for one.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        # Several tests run at once, and each would want the usual port.
        patch.setenv("STREAMCLF_PORT", "0")
        yield


@pytest.fixture(scope="session", autouse=True)
def prepared_processes() -> Iterator[None]:
    """End what processes of tests are forked from."""
    yield
    prepared.close()


@pytest.fixture(scope="session", autouse=True)
def patient_sessions() -> Iterator[None]:
    """Let threads of ONNX Runtime in this process sleep while they wait, and not spin.

    Tests run on all processors at once. Threads that spin take them from other tests: half of the
    time of a session goes there. The processes that tests start spin as they do elsewhere.
    """
    import onnxruntime

    class PatientSession(onnxruntime.InferenceSession):
        def __init__(self, path_or_bytes: Any, sess_options: Any = None, **options: Any) -> None:
            sess_options = sess_options or onnxruntime.SessionOptions()
            sess_options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            super().__init__(path_or_bytes, sess_options, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "InferenceSession", PatientSession)
        yield


@pytest.fixture(scope="session", autouse=True)
def commands_made_once() -> Iterator[None]:
    """Let each command's options be read once in this process: a third of what a command takes.

    A user's process runs one command; here one after another runs.
    """
    made: dict[tuple[int, ...], Any] = {}
    make = typer.main.get_command

    def make_once(app: typer.Typer) -> Any:
        key = tuple(id(each) for each in [*app.registered_commands, *app.registered_groups])
        if key not in made:
            made[key] = make(app)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", make_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """Let passwords cost next to nothing in this process; `true_passwords` undoes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "_N", 2)
        yield


@pytest.fixture
def true_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let passwords cost what they cost users, as in the processes that tests start."""
    monkeypatch.setattr(keys, "_N", TRUE_COST)


@pytest.fixture(autouse=True)
def colour_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing depend on the terminal that the tests are started from."""
    # A size said here would win over that of the terminals that tests open.
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")


@pytest.fixture
def streamclf(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
    tmp_path: Path,
) -> Callable[..., CommandResult]:
    """Run a command line in this process, in the test's folder: it may write where it stands."""
    if Path.cwd() == pytestconfig.invocation_params.dir:  # and no other fixture chose a folder
        monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> CommandResult:
        capfd.readouterr()
        code = main.run([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        log.set_up()  # what a command was told about its log is not for the next one
        return CommandResult(code, captured.out, captured.err)

    return run


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the dashboard find a terminal that suits it."""
    monkeypatch.setattr("streamclf.dashboard.options.lacks_terminal", lambda: "")


@pytest.fixture
def write_wav(tmp_path: Path) -> Callable[..., Path]:
    """Write an audio file into the test's folder."""

    def write(
        waveform: np.ndarray,
        name: str = "sound.wav",
        sample_rate: int = toys.RATE,
        subtype: str | None = None,
        format: str | None = None,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, waveform, sample_rate, subtype=subtype, format=format)
        return path

    return write


@pytest.fixture
def scene(write_wav: Callable[..., Path]) -> Path:
    """A tone of 4 s between silences."""
    parts = [toys.silence(3), toys.tone(1000, 4), toys.silence(4)]
    return write_wav(np.concatenate(parts), "scene.wav")


@pytest.fixture
def piece(write_wav: Callable[..., Path]) -> Path:
    """A tone of 3 s, and silence."""
    return write_wav(np.concatenate([toys.tone(1000, 3), toys.silence(2)]), "scene.wav")


@pytest.fixture
def scenes(write_wav: Callable[..., Path]) -> Path:
    """Tones between silence, 24 s at another rate than the model's, in stereo."""
    parts = [toys.silence(4, 11_025), *(toys.tone(hz, 4, 11_025) for hz in toys.TONES.values())]
    sound = np.concatenate([*parts, *parts[:2]])
    return write_wav(np.stack([sound, 0.5 * sound], axis=1), sample_rate=11_025)


@pytest.fixture
def start() -> Iterator[Listeners]:
    """Begin to listen in a process of its own, which is ended with the test."""
    listeners = Listeners()
    yield listeners
    listeners.close()


@pytest.fixture
def words() -> Words:
    """What outputs tell."""
    return Words()


@pytest.fixture
def patient_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tests that want everything written not fail on a busy machine."""
    monkeypatch.setattr(background, "CLOSE_S", PATIENCE_S)


@pytest.fixture(scope="session")
def picky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a network that tells windows apart by a sample, and names its stem."""
    return toys.write_picky_network(tmp_path_factory.mktemp("models") / "picky.onnx")


@pytest.fixture(scope="session")
def whole(picky: Path) -> Classifier:
    """The same network by a card that names no stem."""
    card = toys.toy_card(window_samples=toys.PICKY_WINDOW, activation="none", name="whole")
    path = toys.write_picky_network(picky.with_name("whole.onnx"), card)
    return Classifier(Model(path, provider="cpu"))


@pytest.fixture(scope="session")
def split(picky: Path) -> Classifier:
    """The network with a stem, its graph cut already."""
    classifier = Classifier(Model(picky, provider="cpu"))
    assert classifier.split() is not None
    assert classifier.take_notice() == ""
    return classifier


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real recordings; skips where there is none."""
    given = os.environ.get("STREAMCLF_DATA")
    folder = Path(given) if given else Path(__file__).parents[2] / "shared" / "data"
    if not (folder / "esc50" / "meta").is_dir():
        pytest.skip(f"no real recordings in {folder} (STREAMCLF_DATA names another folder)")
    return folder


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session, the same for all its workers."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def prepared_esc50(shared_folder: Path) -> Path:
    """A folder for the real ESC-50 at 16 kHz, which the first test that opens it prepares.

    All workers of the session share it; `train.datasets.open_clips` lets one of them prepare it.
    """
    return shared_folder / "prepared-esc50"
