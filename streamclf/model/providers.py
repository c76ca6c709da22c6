"""Execution providers of ONNX Runtime, without a silent fallback to the CPU.

If ONNX Runtime cannot load a provider, it logs a line and uses the CPU. This module compares the
providers of the opened session with the requested one, and raises an error if they differ.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any, get_args

from streamclf.core.errors import ModelError, ProviderError
from streamclf.model.onnx_messages import computes_in_integers, read_model
from streamclf.model.options import Provider
from streamclf.model.vetting.vetting import vet_model

NAMES: dict[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
GPUS = ("cuda", "tensorrt")
"""Providers that run on an NVIDIA GPU. They prepare each new input shape, which takes time."""
_OPTIONS: dict[str, dict[str, str]] = {
    # EXHAUSTIVE, the default of the search, searches again at each new shape. TF32, a default too,
    # has three digits: the bundled `wide` then gives logits that differ by 0.0085 from those of a
    # CPU, without it by 0.000005, in no more time (H100).
    "cuda": {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"},
}
_CUDA_GRAPH_OPTIONS: dict[str, dict[str, str]] = {"cuda": {"enable_cuda_graph": "1"}}
_LOG_FATAL = 4


def open_session(
    path: Path,
    provider: Provider = "auto",
    *,
    n_threads: int = 0,
    live: bool = False,
    vetted: bool = False,
    content: bytes | None = None,
) -> tuple[Any, str, str]:
    """Open a model file in ONNX Runtime.

    Args:
        path: The file.
        provider: The requested provider; ``auto`` takes CUDA where it works, and the CPU for
            models that compute in 8 bits: a GPU computes them in float32, and gives other scores.
        n_threads: Number of threads; 0 leaves the choice to ONNX Runtime.
        live: Whether windows come one at a time; threads then do not spin between them.
        vetted: Whether `vet_model` has checked the file already.
        content: The graph to open in place of the file's, as bytes of an ONNX file.

    Returns:
        The session, the provider that it uses (a key of `NAMES`), and the reason for that choice.

    Raises:
        ModelError: The file is missing, unreadable, no ONNX model, or refused by `vet_model`.
        ProviderError: The requested provider cannot run here.
    """
    if not vetted:
        vet_model(path)
    if provider != "auto":
        return _open_with(path, provider, n_threads, live, content), provider, "as asked for"
    reason = unavailable_reason("cuda")
    if reason is None and computes_in_integers(read_model(path).graph):
        why = "it computes in 8 bits, which a GPU rounds otherwise; --provider cuda takes it"
        return _open_with(path, "cpu", n_threads, live, content), "cpu", why
    if reason is None:
        try:
            return (
                _open_with(path, "cuda", n_threads, live, content),
                "cuda",
                "a CUDA device is here",
            )
        except ProviderError as error:
            reason = str(error)
    return _open_with(path, "cpu", n_threads, live, content), "cpu", f"no CUDA: {reason}"


def built_providers() -> list[Provider]:
    """List the providers that this ONNX Runtime was built with, whether or not they run."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    return [key for key in get_args(Provider) if NAMES.get(key) in available]


def unavailable_reason(provider: str) -> str | None:
    """Explain why a provider cannot run here; None if no reason is found without trying it.

    Args:
        provider: A key of `NAMES`.
    """
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if NAMES[provider] not in available:
        built = ", ".join(key for key, name in NAMES.items() if name in available)
        return (
            f"onnxruntime {onnxruntime.__version__} was built without {provider} (it has {built})"
        )
    if provider in GPUS and sys.platform != "darwin" and not _nvidia_driver():
        return "no NVIDIA driver here"
    return None


def _nvidia_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def open_part(
    content: bytes, path: Path, provider: str, *, n_threads: int = 0, recorded: bool = False
) -> Any:
    """Open a part of a model whose whole graph has been opened before.

    Args:
        content: The part, as bytes of an ONNX file.
        path: The model file, for messages.
        provider: The provider that ran the whole graph.
        n_threads: Number of threads; 0 leaves the choice to ONNX Runtime.
        recorded: Whether CUDA records the runs as a CUDA graph and repeats it.

    Raises:
        ModelError: The part does not run by itself.
        ProviderError: The provider cannot run the part, or cannot record all of it.
    """
    # Parts run in turns: the threads of one must not spin while the other works.
    settings = _CUDA_GRAPH_OPTIONS.get(provider, {}) if recorded else {}
    return _open_with(path, provider, n_threads, True, content, settings)


def _open_with(
    path: Path,
    provider: str,
    n_threads: int,
    live: bool,
    content: bytes | None = None,
    settings: dict[str, str] | None = None,
) -> Any:
    import onnxruntime

    reason = unavailable_reason(provider)
    if reason is not None:
        raise ProviderError(
            f"provider {provider} was asked for: {reason}: use --provider auto or cpu"
        )
    if provider in GPUS and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _LOG_FATAL
    options.intra_op_num_threads = n_threads
    if live:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    requested: list[Any] = [(NAMES[provider], _OPTIONS.get(provider, {}) | (settings or {}))]
    if provider != "cpu":
        # The CPU runs single operators that the provider does not support.
        requested.append(NAMES["cpu"])
    onnxruntime.set_default_logger_severity(_LOG_FATAL)
    if os.environ.get("ORT_DISABLE_TELEMETRY") != "0":
        # The variable has no effect on Windows, or if onnxruntime was imported before streamclf.
        onnxruntime.disable_telemetry_events()
    try:
        given = str(path) if content is None else content
        # ONNX Runtime's own fallback prints to standard output, which is for results alone.
        session = onnxruntime.InferenceSession(
            given, options, providers=requested, enable_fallback=False
        )
    except Exception as error:  # ONNX Runtime raises types of its own that share no base
        if provider != "cpu":
            raise ProviderError(
                f"provider {provider} was asked for, and failed with {path}: {_shorten(error)}: "
                "use --provider auto or cpu"
            ) from error
        raise ModelError(f"{path}: is no ONNX model that runs here: {_shorten(error)}") from error
    # ONNX Runtime keeps the bytes as long as the session lives, a second copy of the weights.
    session._model_bytes = None
    if NAMES[provider] not in session.get_providers():
        raise ProviderError(
            f"provider {provider} was asked for, ONNX Runtime {onnxruntime.__version__} took "
            f"{session.get_providers()[0]}: its libraries are missing or do not fit (for cuda: "
            "pip install 'onnxruntime-gpu[cuda,cudnn]'), or use --provider auto or cpu"
        )
    return session


def _shorten(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:200] + "..."
