"""`streamclf verify` and `listen --self-check`: what is alike passes, what differs is exit 1."""

import numpy as np
import onnx
import pytest
import toys
from onnx import TensorProto, helper
from test_lying_headers import FADING, mp3

from streamclf.checks import self_check, verify
from streamclf.core.card import Stem
from streamclf.core.errors import ProviderError
from streamclf.core.records import Block, Gap
from streamclf.model.model_file import Model
from streamclf.model.stem.shared_frames import SharedStream
from streamclf.sources.recording.recording import Recording
from streamclf.sources.simulated.random_blocks import RandomBlocks


@pytest.fixture(scope="module")
def sharing_model(tmp_path_factory):
    """The tone detector, by a card that names its stem."""
    path = tmp_path_factory.mktemp("models") / "sharing.onnx"
    return toys.write_tone_detector(path, toys.toy_card(stem=toys.STEM))


def verdicts(result) -> dict[str, str]:
    """What was found, by the name of the check."""
    rows = [line.split("  ") for line in result.out.splitlines()[1:]]
    return {row[0].strip(): " ".join(row[1:]).strip().split(" ")[0] for row in rows}


def test_verify_finds_all_alike(streamclf, sharing_model, scenes):
    result = streamclf("verify", scenes, "--model", sharing_model, "--seed", 3, "--provider", "cpu")
    assert result.code == 0
    assert result.err == ""
    found = verdicts(result)
    assert found["file path"] == "measure"
    assert (found["live path"], found["provider cpu"], found["sharing"]) == (
        "same",
        "same",
        "exact",
    )
    assert found["decoding"] == "whole"
    first, measure, live, *_ = result.out.splitlines()
    assert first == f"{scenes}, blocks cut with seed 3"
    assert "46 windows, 5 events on cpu" in measure
    assert "46 windows, 5 events with their begins; " in live
    assert "samples" in live


def test_verify_says_that_windows_share_nothing_on_a_gpu(
    streamclf, sharing_model, scenes, monkeypatch
):
    monkeypatch.setattr("streamclf.model.classifier.GPUS", ("cpu",))
    result = streamclf("verify", scenes, "--model", sharing_model, "--provider", "cpu")
    assert result.code == 0
    line = next(line for line in result.out.splitlines() if line.startswith("sharing"))
    assert line.split(maxsplit=2)[1:] == ["none", "windows share no work on cpu"]


def test_verify_sees_a_file_that_is_not_heard_to_its_end(
    streamclf, sharing_model, scenes, monkeypatch
):
    """Both paths read it alike: only another decoder can tell."""
    whole = Recording.blocks

    def half(self, sample_rate):
        blocks = list(whole(self, sample_rate))
        yield from blocks[: len(blocks) // 2]

    monkeypatch.setattr(Recording, "blocks", half)
    result = streamclf("verify", scenes, "--model", sharing_model, "--provider", "cpu")
    assert result.code == 1
    found = verdicts(result)
    assert (found["decoding"], found["live path"]) == ("SHORTER", "same")


def test_verify_finds_an_mp3_whole_whose_frames_nobody_counted(streamclf, sharing_model, tmp_path):
    mp3(tmp_path / "x.mp3", FADING, counted=False)
    result = streamclf("verify", tmp_path / "x.mp3", "--model", sharing_model)
    assert (result.code, verdicts(result)["decoding"]) == (0, "whole")


def test_verify_makes_sounds_of_its_own(streamclf, sharing_model):
    result = streamclf("verify", "--model", sharing_model)
    assert result.code == 0
    assert result.out.startswith("sounds made with seed 1, blocks cut with seed 1\n")
    assert "118 windows" in result.out


def test_verify_judges_a_model_without_a_stem_and_a_regression(streamclf, tmp_path, scenes):
    path = toys.write_loudness_meter(tmp_path / "loud.onnx")
    result = streamclf("verify", scenes, "--model", path)
    assert result.code == 0
    assert verdicts(result)["sharing"] == "none"


def test_verify_sees_a_wrong_stem(streamclf, tmp_path, scenes):
    wrong = Stem("squares", 80, 146, receptive_field=400)
    path = toys.write_tone_detector(tmp_path / "wrong.onnx", toys.toy_card(stem=wrong))
    result = streamclf("verify", scenes, "--model", path)
    assert result.code == 1
    assert verdicts(result)["sharing"] == "DIFFERS"
    assert "windows share no work" in result.out
    assert "streamclf: error: 1 of " in result.err


def test_verify_sees_a_stem_that_is_not_exact(streamclf, sharing_model, scenes, monkeypatch):
    right = SharedStream.logits
    monkeypatch.setattr(SharedStream, "logits", lambda *args: right(*args) + np.float32(3e-5))
    result = streamclf("verify", scenes, "--model", sharing_model)
    assert result.code == 1
    assert verdicts(result)["sharing"] == "DIFFERS"
    # Added to all logits alike, it leaves the softmax as it was.
    assert verdicts(result)["live path"] == "same"


def without_third_block(blocks):
    """Drop a block and let the next follow at once, as if nothing were missing."""

    def dropped(self, sample_rate):
        n_blocks, lost = 0, 0
        for item in blocks(self, sample_rate):
            n_blocks += isinstance(item, Block)
            if n_blocks == 3 and not lost:
                lost = item.n_samples
                continue
            yield Block(item.position - lost, item.waveform, item.sample_rate)

    return dropped


def with_a_click(blocks):
    """Change one sample."""

    def changed(self, sample_rate):
        for item in blocks(self, sample_rate):
            waveform = item.waveform.copy()
            if item.position <= 100_000 < item.end:
                waveform[:, 100_000 - item.position] = 1
            yield Block(item.position, waveform, item.sample_rate)

    return changed


def with_a_gap(blocks):
    """Tell of a gap that the recording does not have, in place of the last block."""

    def ended(self, sample_rate):
        *most, last = blocks(self, sample_rate)
        yield from most
        yield Gap(last.position, last.n_samples, last.sample_rate, "test")

    return ended


@pytest.mark.parametrize("fault", [without_third_block, with_a_click, with_a_gap])
def test_verify_sees_a_live_path_that_changes_the_audio(
    streamclf, sharing_model, scenes, monkeypatch, fault
):
    monkeypatch.setattr(RandomBlocks, "blocks", fault(RandomBlocks.blocks))
    result = streamclf("verify", scenes, "--model", sharing_model)
    assert result.code == 1
    assert verdicts(result)["live path"] == "DIFFERS"
    assert verdicts(result)["provider cpu"] == "same"


@pytest.fixture
def cuda_double(monkeypatch, tmp_path):
    """A provider that is here; a test says which model it runs in truth."""
    monkeypatch.setattr(verify, "built_providers", lambda: ["cpu", "cuda"])
    monkeypatch.setattr(verify, "unavailable_reason", lambda name: None)
    real = self_check.open_model

    def play(path) -> None:
        def opened(options, live):
            if options.provider != "cuda":
                return real(options, live)
            if path is None:
                raise ProviderError("provider cuda was asked for: no libcudart.so")
            model = Model(path, provider="cpu", options=options.card, live=live)
            model.provider = "cuda"
            return model

        monkeypatch.setattr(self_check, "open_model", opened)
        monkeypatch.setattr("streamclf.runs.engine_setup.open_model", opened)

    return play


@pytest.fixture
def other_model(tmp_path):
    """As the tone detector, but it takes one tone for another."""
    path = toys.write_tone_detector(tmp_path / "other.onnx", toys.toy_card())
    model = onnx.load(path)
    (pairs,) = (tensor for tensor in model.graph.initializer if tensor.name == "pairs")
    values = onnx.numpy_helper.to_array(pairs)[:, ::-1].copy()
    pairs.CopyFrom(onnx.numpy_helper.from_array(values, "pairs"))
    onnx.save(model, path)
    return path


def test_verify_sees_a_provider_that_answers_differently(
    streamclf, sharing_model, scenes, cuda_double, other_model, tone_model
):
    cuda_double(other_model)
    result = streamclf("verify", scenes, "--model", sharing_model, "--provider", "cpu")
    assert result.code == 1
    assert verdicts(result)["provider cuda"] == "DIFFERS"
    assert verdicts(result)["provider cpu"] == "same"
    cuda_double(tone_model)
    result = streamclf("verify", scenes, "--model", sharing_model, "--provider", "cpu")
    assert result.code == 0
    assert verdicts(result)["provider cuda"] == "same"


def test_verify_sees_it_where_every_score_is_near_zero(
    streamclf, sharing_model, write_wav, cuda_double, other_model
):
    cuda_double(other_model)
    hiss = np.random.default_rng(1).uniform(-0.01, 0.01, 40_000) + toys.tone(440, 5, level=0.01)
    path = write_wav(hiss.astype(np.float32))
    result = streamclf("verify", path, "--model", sharing_model, "--provider", "cpu")
    line = next(line for line in result.out.splitlines() if line.startswith("provider cuda"))
    assert float(line.partition("scores differ by ")[2].partition(",")[0]) < 0.02
    assert verdicts(result)["provider cuda"] == "DIFFERS"
    assert result.code == 1


def test_verify_says_which_provider_cannot_be_loaded(streamclf, sharing_model, scenes, cuda_double):
    cuda_double(None)
    result = streamclf("verify", scenes, "--model", sharing_model, "--provider", "cpu")
    assert result.code == 0
    line = next(line for line in result.out.splitlines() if line.startswith("provider cuda"))
    assert "not here" in line
    assert "could not be loaded: provider cuda was asked for: no libcudart.so" in line


def test_verify_says_what_is_wrong_with_the_recording(streamclf, sharing_model, scenes):
    scenes.write_bytes(scenes.read_bytes()[:400_000])
    result = streamclf("verify", scenes, "--model", sharing_model)
    assert result.code == 1
    assert verdicts(result)["live path"] == "same"
    assert verdicts(result)["sharing"] == "exact"
    assert "is cut short" in result.err
    result = streamclf("verify", scenes.with_name("none.wav"), "--model", sharing_model)
    assert result.code == 1
    assert "none.wav: cannot be opened" in result.err


def test_self_check_lets_a_true_provider_begin(streamclf, sharing_model, scenes):
    result = streamclf(
        "listen", "--source", f"sim:{scenes}", "--speed", 0, "--self-check", "--no-ui",
        "--model", sharing_model, "--provider", "cpu",
    )  # fmt: skip
    assert result.code == 0
    assert [line["type"] for line in result.lines].count("event") == 5
    first = result.err.splitlines()[0]
    assert first.startswith("streamclf: self-check: cpu gives logits that differ by ")
    assert first.endswith("within 1e-05, in 23 windows")


def test_self_check_refuses_a_provider_that_answers_differently(
    streamclf, sharing_model, scenes, cuda_double, other_model
):
    cuda_double(other_model)
    command = [
        "listen",
        "--source",
        f"sim:{scenes}",
        "--speed",
        0,
        "--no-ui",
        "--provider",
        "cuda",
    ]
    result = streamclf(*command, "--model", sharing_model, "--self-check")
    assert result.code == 1
    assert result.out == ""
    (line,) = result.err.splitlines()
    assert line.startswith("streamclf: error: self-check: cuda gives logits that differ by ")
    assert line.endswith("the limit is 2e-02: use --provider cpu, or see streamclf verify")
    assert streamclf(*command, "--model", sharing_model).code == 0


def test_models_that_round_are_known(tmp_path, tone_model):
    assert not verify.is_coarse(Model(tone_model, provider="cpu"))
    halves = toys.write_tone_detector(
        tmp_path / "half.onnx", toys.toy_card(), element=TensorProto.FLOAT16
    )
    assert verify.is_coarse(Model(halves, provider="cpu"))
    model = onnx.load(tone_model)
    scale = onnx.numpy_helper.from_array(np.float32(1e-3), "scale")
    zero = onnx.numpy_helper.from_array(np.int16(0).astype(np.int8), "zero")
    model.graph.initializer.extend([scale, zero])
    model.graph.node.append(helper.make_node("QuantizeLinear", ["logits", "scale", "zero"], ["q"]))
    onnx.save(model, tmp_path / "int8.onnx")
    assert verify.is_coarse(Model(tmp_path / "int8.onnx", provider="cpu"))
