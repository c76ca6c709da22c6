"""Recognition of other file formats by their first bytes, with advice on converting them."""

from __future__ import annotations

from pathlib import Path

HEAD_BYTES = 16

_CONVERT = "streamclf runs ONNX; "
_THEN = "and give that with --labels, --sample-rate and --window"


def describe_foreign(path: Path) -> str:
    """Name the format of a file that is no ONNX model, with advice; empty if it is unknown.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head[4:8] == b"TFL3":
        return (
            f"is a TFLite model, {_CONVERT}turn it into one by 'python -m tf2onnx.convert "
            f"--tflite {path.name} --output {path.stem}.onnx' (pip install tf2onnx) {_THEN}"
        )
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return (
            f"is a Keras file (HDF5), {_CONVERT}turn it into one by tf2onnx (pip install tf2onnx) "
            f"{_THEN}"
        )
    if head.startswith(b"PK\x03\x04"):
        return (
            f"is a PyTorch file or another archive, {_CONVERT}export the network by "
            f"torch.onnx.export {_THEN}; a run of train becomes one by python -m export RUN"
        )
    if head.startswith((b"RIFF", b"fLaC", b"OggS", b"ID3", b"FORM")):
        return f"is a recording, not a model: streamclf file {path.name} hears it"
    if path.suffix == ".safetensors":
        return (
            f"holds weights alone (safetensors), {_CONVERT}a run of train becomes a model by "
            "python -m export RUN -o NAME.onnx"
        )
    return ""
