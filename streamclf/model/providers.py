"""Execution providers: what was asked for is what runs, or an error says why not.

ONNX Runtime answers a provider that it cannot load with a line in its log and a silent CPU. Here
the session's own list of providers is compared with the request after opening.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from streamclf.core.errors import ModelError, ProviderError
from streamclf.model.vetting.vetting import vet_model

Provider: TypeAlias = Literal["auto", "cpu", "cuda", "tensorrt", "coreml", "openvino"]

NAMES: dict[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
_OPTIONS: dict[str, dict[str, str]] = {
    # EXHAUSTIVE, the default, searches again at each new shape.
    "cuda": {"cudnn_conv_algo_search": "HEURISTIC"},
}
_RECORDING: dict[str, dict[str, str]] = {"cuda": {"enable_cuda_graph": "1"}}
_FATAL = 4


def open_session(
    path: Path,
    provider: Provider = "auto",
    *,
    n_threads: int = 0,
    live: bool = False,
    vetted: bool = False,
) -> tuple[Any, str, str]:
    """Open a model file in ONNX Runtime.

    Args:
        path: The file.
        provider: The one wanted; ``auto`` takes CUDA where it works.
        n_threads: 0 leaves it to ONNX Runtime.
        live: Whether windows come now and then: threads must not spin in between.
        vetted: Whether `vet_model` has looked through the file already.

    Returns:
        The session, the provider it really uses (a key of `NAMES`), and why.

    Raises:
        ModelError: The file is missing, unreadable, no ONNX model, or refused by `vet_model`.
        ProviderError: The provider asked for cannot run here.
    """
    if not vetted:
        vet_model(path)
    if provider != "auto":
        return _open_with(path, provider, n_threads, live), provider, "as asked for"
    reason = obstacle("cuda")
    if reason is None:
        try:
            return _open_with(path, "cuda", n_threads, live), "cuda", "a CUDA device is here"
        except ProviderError as error:
            reason = str(error)
    return _open_with(path, "cpu", n_threads, live), "cpu", f"no CUDA: {reason}"


def built_providers() -> list[Provider]:
    """The providers that ONNX Runtime was built with here, whether or not they run."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    return [key for key in get_args(Provider) if NAMES.get(key) in available]


def obstacle(provider: str) -> str | None:
    """What keeps a provider from running here, as far as can be seen without trying."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if NAMES[provider] not in available:
        built = ", ".join(key for key, name in NAMES.items() if name in available)
        return (
            f"onnxruntime {onnxruntime.__version__} was built without {provider} (it has {built})"
        )
    if provider in ("cuda", "tensorrt") and sys.platform != "darwin" and not _nvidia_driver():
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
    """Open a part of a model that a session has run as a whole before.

    Args:
        content: The part, as ONNX.
        path: The file it is from, for messages.
        provider: The provider that ran the whole.
        n_threads: For ONNX Runtime; 0 leaves it to decide.
        recorded: Whether CUDA may record runs of it and repeat them.

    Raises:
        ModelError: The part does not run by itself.
        ProviderError: The provider does not take it, or cannot record all of it.
    """
    # Parts take turns: one's threads must not spin while the other's work.
    settings = _RECORDING.get(provider, {}) if recorded else {}
    session = _open_with(path, provider, n_threads, True, content, settings)
    # ONNX Runtime keeps what it was opened from as long as the session lives: twice the weights.
    session._model_bytes = None
    return session


def _open_with(
    path: Path,
    provider: str,
    n_threads: int,
    live: bool,
    content: bytes | None = None,
    settings: dict[str, str] | None = None,
) -> Any:
    import onnxruntime

    reason = obstacle(provider)
    if reason is not None:
        raise ProviderError(
            f"provider {provider} was asked for: {reason}: use --provider auto or cpu"
        )
    if provider in ("cuda", "tensorrt") and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = n_threads
    if live:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted: list[Any] = [(NAMES[provider], _OPTIONS.get(provider, {}) | (settings or {}))]
    if provider != "cpu":
        # What the provider cannot run falls to the CPU, operator by operator.
        wanted.append(NAMES["cpu"])
    onnxruntime.set_default_logger_severity(_FATAL)
    if os.environ.get("ORT_DISABLE_TELEMETRY") != "0":
        # On Windows, and where it was imported before us, the variable says nothing.
        onnxruntime.disable_telemetry_events()
    try:
        given = str(path) if content is None else content
        # Its fallback tries once more, with words on standard output, which is for results.
        session = onnxruntime.InferenceSession(
            given, options, providers=wanted, enable_fallback=False
        )
    except Exception as error:  # ONNX Runtime raises types of its own that share no base
        if provider != "cpu":
            raise ProviderError(
                f"provider {provider} was asked for, and failed with {path}: {_short(error)}: "
                "use --provider auto or cpu"
            ) from error
        raise ModelError(f"{path}: is no ONNX model that runs here: {_short(error)}") from error
    if NAMES[provider] not in session.get_providers():
        raise ProviderError(
            f"provider {provider} was asked for, ONNX Runtime {onnxruntime.__version__} took "
            f"{session.get_providers()[0]}: its libraries are missing or do not fit (for cuda: "
            "pip install 'onnxruntime-gpu[cuda,cudnn]'), or use --provider auto or cpu"
        )
    return session


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:200] + "..."
