"""What was asked for is what runs; ONNX Runtime's part is played where no GPU is at hand."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from streamclf.core.errors import ModelError, ProviderError
from streamclf.model import providers
from streamclf.model.providers import open_session


class FakeSession:
    """Like ONNX Runtime's: takes what it is asked for, or quietly the CPU."""

    honoured = True
    broken = False

    def __init__(self, path, options, providers, enable_fallback=True):
        assert not enable_fallback  # it would write to standard output
        if self.broken and providers[0][0] != "CPUExecutionProvider":
            raise RuntimeError("no kernel")
        self.asked = providers
        first = providers[0][0]
        self._providers = (
            [first, "CPUExecutionProvider"] if self.honoured else ["CPUExecutionProvider"]
        )

    def get_providers(self):
        return self._providers


@pytest.fixture
def cuda_build(monkeypatch):
    names = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", FakeSession)
    monkeypatch.setattr(providers, "_nvidia_driver", lambda: True)
    monkeypatch.setattr(FakeSession, "honoured", True)


@pytest.fixture
def cpu_build(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])


def test_cpu_is_used_when_asked_for(tone_model):
    session, used, reason = open_session(tone_model, "cpu")
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert (used, reason) == ("cpu", "as asked for")


def test_auto_falls_back_and_says_why(tone_model, cpu_build):
    _, used, reason = open_session(tone_model)
    assert used == "cpu"
    assert "was built without cuda (it has cpu)" in reason


def test_auto_without_a_driver_does_not_try_cuda(tone_model, monkeypatch):
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(providers, "_nvidia_driver", lambda: False)
    _, used, reason = open_session(tone_model)
    assert (used, reason) == ("cpu", "no CUDA: no NVIDIA driver here")


@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "coreml", "openvino"])
def test_a_provider_that_is_not_built_in_is_an_error(tone_model, cpu_build, provider):
    with pytest.raises(
        ProviderError, match=f"provider {provider} was asked for.*without {provider}"
    ):
        open_session(tone_model, provider)


def test_cuda_is_used_with_all_digits_and_heuristic_search(tone_model, cuda_build):
    session, used, reason = open_session(tone_model)
    assert (used, reason) == ("cuda", "a CUDA device is here")
    name, options = session.asked[0]
    assert name == "CUDAExecutionProvider"
    assert options == {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}


def test_auto_leaves_arithmetic_in_8_bits_to_the_cpu(tone_model, tmp_path, cuda_build):
    """A GPU computes it in float32, and gives other scores."""
    model = onnx.load(tone_model)
    (given,) = model.graph.node[0].input[:1]
    steps = [numpy_helper.from_array(np.float32(1 / 128), "step"),
             numpy_helper.from_array(np.int8(0), "zero")]  # fmt: skip
    model.graph.initializer.extend(steps)
    model.graph.node.insert(
        0, helper.make_node("QuantizeLinear", [given, "step", "zero"], ["whole"])
    )
    model.graph.node.insert(
        1, helper.make_node("DequantizeLinear", ["whole", "step", "zero"], ["rounded"])
    )
    model.graph.node[2].input[0] = "rounded"
    path = tmp_path / "whole.onnx"
    onnx.save(model, path)
    _, used, reason = open_session(path)
    assert (used, reason) == (
        "cpu",
        "it computes in 8 bits, which a GPU rounds otherwise; --provider cuda takes it",
    )
    _, used, _ = open_session(path, "cuda")
    assert used == "cuda"


def test_cuda_that_became_a_cpu_is_an_error(tone_model, cuda_build, monkeypatch):
    monkeypatch.setattr(FakeSession, "honoured", False)
    with pytest.raises(ProviderError) as caught:
        open_session(tone_model, "cuda")
    assert "took CPUExecutionProvider: its libraries are missing or do not fit" in str(caught.value)


def test_auto_with_cuda_that_became_a_cpu_falls_back_and_says_so(
    tone_model, cuda_build, monkeypatch
):
    monkeypatch.setattr(FakeSession, "honoured", False)
    monkeypatch.setattr(providers, "_open_with", _only_cuda_fails(providers._open_with))
    _, used, reason = open_session(tone_model)
    assert used == "cpu"
    assert "its libraries are missing" in reason


def test_a_provider_that_fails_with_the_model_is_named(tone_model, cuda_build, monkeypatch):
    monkeypatch.setattr(FakeSession, "broken", True)
    with pytest.raises(ProviderError, match=r"provider cuda was asked for, and failed with .*no k"):
        open_session(tone_model, "cuda")
    _, used, reason = open_session(tone_model)
    assert used == "cpu"
    assert "no kernel" in reason


def _only_cuda_fails(real):
    def open_with(path, provider, *more):
        return "session" if provider == "cpu" else real(path, provider, *more)

    return open_with


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"none\.onnx: the model cannot be opened: No such file"):
        open_session(tmp_path / "none.onnx", "cpu")


def test_threads_and_spinning_are_set(tone_model, monkeypatch):
    seen = {}
    real = onnxruntime.InferenceSession

    def spy(path, options, providers, **keywords):
        seen["threads"] = options.intra_op_num_threads
        seen["spin"] = options.get_session_config_entry("session.intra_op.allow_spinning")
        return real(path, options, providers=providers, **keywords)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    open_session(tone_model, "cpu", n_threads=1, live=True)
    assert seen == {"threads": 1, "spin": "0"}
