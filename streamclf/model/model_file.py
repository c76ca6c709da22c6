"""An opened model file: its graph in an ONNX Runtime session, and its card.

The card is read from the file's metadata, or else from a JSON file beside it, ``NAME.json``.
Without either, `CardOptions` must describe the model (``--labels --sample-rate --window``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from streamclf.core.card import (
    MAX_CARD_BYTES,
    METADATA_KEY,
    Activation,
    Card,
    Task,
    output_name,
    parse_card,
)
from streamclf.core.cpu_count import count_limited_cores
from streamclf.core.errors import CardError, ModelError, ProviderError
from streamclf.core.labels import read_labels
from streamclf.core.records import FeatureFormat
from streamclf.core.text_files import read_text_file
from streamclf.model.onnx_messages import read_model
from streamclf.model.options import CardOptions, Provider
from streamclf.model.providers import open_part, open_session
from streamclf.model.vetting.vetting import vet_model

BUNDLED = Path(__file__).parents[1] / "models"
DROPPED = dict.fromkeys(
    ("esc10", "pocket-esc10"), "take wide, which names its ten sounds better, under MIT"
)
"""Models that earlier versions came with, and what to take instead."""

MAX_BATCH = 1024
"""Largest fixed batch size of a graph. Short batches are padded with silence, so a larger one would
waste most of the work."""

_NUMBERS = frozenset(["tensor(float)", "tensor(float16)", "tensor(double)"])

InputLayout = Literal["batch", "batch-channel", "single"]


SMALL_BYTES = 4_000_000
"""Size below which one thread is enough: such a network finishes before a second one helps."""


class Model:
    """An open model.

    Args:
        path: The ``.onnx`` file, or the name of a bundled model, such as ``wide``.
        provider: The requested execution provider.
        options: Fields of the card that the user overrides.
        n_threads: Number of threads. 0 takes one thread for a network below `SMALL_BYTES`. For
            larger networks it leaves the choice to ONNX Runtime, unless this process may use only
            some of the machine's processors: then it takes as many threads as those.
        live: Whether windows come one at a time; threads then do not spin between them.

    Attributes:
        path: The file.
        card: The model card.
        session: The ONNX Runtime session of the whole graph; None between `release` and `reopen`.
        live: As given.
        small: Whether the file and its external weights are smaller than `SMALL_BYTES` together.
        n_threads: Number of threads on a CPU; 0 if ONNX Runtime decides.
        provider: The provider in use.
        provider_reason: The reason why ``auto`` chose it.
        input_name: Name of the graph's waveform input.
        output_name: Name of the output that is read.
        layout: ``batch`` (batch, samples), ``batch-channel`` (batch, 1, samples) or
            ``single`` (samples,).
        fixed_batch: The only batch size that the graph takes, or None.
        features: Form of the features that the graph gives behind its logits; None unless
            `give_features` was called.
        notice: A property of the graph that the card does not state; empty if there is none.

    Raises:
        ModelError: The file is missing, is no ONNX file, or takes no waveform.
        CardError: The model is not described, or its description contradicts the graph.
        ProviderError: The requested provider cannot run here.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        provider: Provider = "auto",
        options: CardOptions | None = None,
        n_threads: int = 0,
        live: bool = False,
    ) -> None:
        self.path = path = find_model(path)
        self.live = live
        self.small = vet_model(path) < SMALL_BYTES
        self.n_threads = n_threads or (1 if self.small else count_limited_cores())
        self.features: FeatureFormat | None = None
        self.session: Any
        self.session, self.provider, self.provider_reason = open_session(
            path, provider, n_threads=self.n_threads, live=live, vetted=True
        )
        try:
            self._read(options or CardOptions())
        except UnicodeDecodeError as error:
            raise ModelError(
                f"{path}: a name or property in the file is not UTF-8 text: export it anew"
            ) from error

    def _read(self, options: CardOptions) -> None:
        """Read input, output and card from the graph.

        Raises:
            ModelError: The graph's input or output is not that of a streamclf model.
            CardError: There is no card, or it contradicts the graph.
        """
        path = self.path
        node = _waveform_input(path, self.session)
        self.input_name: str = node.name
        self.input_type: str = node.type
        self.layout, samples, self.fixed_batch = _input_layout(path, node)
        self.card, self.notice = _read_card(path, self.session, options, samples)
        self.output_name = _choose_output(path, self.session, self.card.output_name)
        self._logits_name = self.output_name
        if samples is not None and samples != self.card.window_samples:
            raise CardError(
                f"{path}: the graph takes windows of {samples} samples, the card says "
                f"{self.card.window_samples}: correct --window or the card"
            )

    @property
    def can_split(self) -> bool:
        """Whether the card names a stem, and the graph takes batches of any size."""
        return self.card.stem is not None and self.layout == "batch" and self.fixed_batch is None

    def open_part(self, content: bytes, *, recorded: bool = False) -> Any:
        """Open a part of the graph in a session of its own (`providers.open_part`)."""
        threads = self.n_threads
        return open_part(content, self.path, self.provider, n_threads=threads, recorded=recorded)

    def read_graph(self) -> Any:
        """Read the graph from its file, with the features in its output if they are to be given.

        Raises:
            ModelError: The file cannot be read, or lacks the features of its card.
        """
        try:
            graph = read_model(self.path, values_outside=True)
        except Exception as error:  # protobuf raises types of its own
            raise ModelError(f"{self.path}: the graph cannot be read: {error}") from error
        if self.features is not None:
            self._append_features(graph)
        return graph

    def give_features(self) -> None:
        """Open the graph anew with one output: the logits, and behind them the features.

        Raises:
            ModelError: The card names no features, or the graph lacks them.
        """
        if self.features is not None:
            return
        features = self.card.features
        if features is None:
            raise ModelError(
                f"{self.path}: its card names no features, by which sounds are compared: name them "
                "with python -m export.restate MODEL.onnx --features, or take --model wide"
            )
        from streamclf.model.features import OUTPUT

        graph = self.read_graph()
        digest = self._append_features(graph)
        output_name, self.output_name = self.output_name, OUTPUT
        try:
            self._open(graph.SerializeToString())
        except (ModelError, ProviderError):
            self.output_name = output_name
            raise
        self.features = FeatureFormat(
            features.size, features.scale, digest, self.card.window_samples
        )

    def _append_features(self, graph: Any) -> str:
        from streamclf.model.features import append_features

        assert self.card.features is not None
        try:
            return append_features(graph, self.card.features, self._logits_name)
        except ModelError as error:
            raise ModelError(f"{self.path}: {error}") from error

    def _open(self, content: bytes | None) -> None:
        provider: Any = self.provider
        self.session, _, _ = open_session(
            self.path, provider, n_threads=self.n_threads, live=self.live, content=content
        )

    def release(self) -> None:
        """Close the session of the whole graph, whose parts hold the weights in their sessions."""
        self.session = None

    def reopen(self) -> None:
        """Open the session of the whole graph again."""
        self._open(None if self.features is None else self.read_graph().SerializeToString())


def find_model(name: str | Path) -> Path:
    """Find a model by the path of its file or by the name of a bundled model.

    A text without a folder and without ``.onnx`` names a bundled model, even if the working
    directory holds a file of that name. A `Path` always names a file.

    Raises:
        ModelError: There is no such file or bundled model.
    """
    bundled = bundled_models()
    if isinstance(name, str) and is_bundled_name(name):
        if name in bundled:
            return bundled[name]
        if name in DROPPED:
            raise ModelError(f"{name}: is no longer bundled: {DROPPED[name]}")
        raise ModelError(
            f"{name}: no bundled model of that name ({', '.join(bundled)}); a file is named with "
            f"its folder, as in ./{name}, or ends in .onnx"
        )
    path = Path(name)
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError as error:  # the name is too long, or a folder above may not be entered
        reason = (error.strerror or str(error)).lower()
        raise ModelError(f"{name}: the model cannot be opened: {reason}") from error
    if is_folder:
        export = f"; python -m export {name} -o NAME.onnx makes one of a run of train"
        raise ModelError(f"{name}: is a folder, --model takes an .onnx file{export}")
    if not is_there:
        raise ModelError(
            f"{name}: no such model file, and no bundled model of that name ({', '.join(bundled)})"
        )
    return path


def is_bundled_name(name: str) -> bool:
    """Whether a name is that of a bundled model: it has neither a folder nor ``.onnx``."""
    return Path(name).name == name and not name.lower().endswith(".onnx")


def portable_model_name(name: str) -> str:
    """Return a name that finds the same model from any working directory."""
    return name if is_bundled_name(name) else str(Path(name).absolute())


def bundled_models() -> dict[str, Path]:
    """Return the bundled models by name."""
    return {path.stem: path for path in sorted(BUNDLED.glob("*.onnx"))}


def _waveform_input(path: Path, session: Any) -> Any:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ModelError(
            f"{path}: the graph has {len(inputs)} inputs, a streamclf model has one, the waveform: "
            "export it with that alone"
        )
    if inputs[0].type not in ("tensor(float)", "tensor(float16)"):
        raise ModelError(
            f"{path}: the graph takes {inputs[0].type}, a streamclf model takes float32 samples: "
            "export it with those"
        )
    return inputs[0]


def _choose_output(path: Path, session: Any, preferred: str) -> str:
    """Return the name of the output to read: the preferred one, or else the first.

    Raises:
        ModelError: The graph has no output, or this one holds no numbers.
    """
    types = {node.name: node.type for node in session.get_outputs()}
    name = preferred if preferred in types else next(iter(types), "")
    if types.get(name) not in _NUMBERS:
        found = f"{name!r} of type {types[name]}" if types else "none"
        raise ModelError(
            f"{path}: the graph's output is {found}, a streamclf model gives numbers: "
            "export it anew"
        )
    return name


def _input_layout(path: Path, node: Any) -> tuple[InputLayout, int | None, int | None]:
    """Return the layout of the input, its window length in samples, and its batch size.

    Window length and batch size are None if the graph takes any.

    Raises:
        ModelError: The shape is not that of a waveform, or the batch size exceeds `MAX_BATCH`.
    """
    shape = node.shape
    batch = shape[0] if len(shape) > 1 and isinstance(shape[0], int) else None
    samples = shape[-1] if shape and isinstance(shape[-1], int) else None
    if batch is not None and batch > MAX_BATCH:
        raise ModelError(
            f"{path}: the graph insists on batches of {batch}, the limit is {MAX_BATCH}: "
            "export it with a batch of 1, or any"
        )
    if len(shape) == 1:
        return "single", samples, None
    if len(shape) == 2:
        return "batch", samples, batch
    if len(shape) == 3 and (shape[1] == 1 or not isinstance(shape[1], int)):
        return "batch-channel", samples, batch
    raise ModelError(
        f"{path}: the graph's input has shape {shape}; "
        "a waveform is (batch, samples), (batch, 1, samples) or (samples,): export it so"
    )


def _read_card(
    path: Path, session: Any, options: CardOptions, samples: int | None
) -> tuple[Card, str]:
    """Combine the written card, the graph and the user's options into one card.

    Args:
        path: The model file.
        session: The session of its graph.
        options: Fields that the user overrides.
        samples: Window length that the graph fixes, or None.

    Returns:
        The card, and a notice about the activation; the notice may be empty.

    Raises:
        CardError: The card or a required option is missing, or they contradict each other.
    """
    given: dict[str, Any] = {}
    if options.labels is not None:
        given["labels"] = read_labels(Path(options.labels))
    if options.sample_rate is not None:
        given["sample_rate"] = options.sample_rate
    if options.task is not None:
        given["task"] = options.task
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    card, has_activation = find_card(path, text, options)
    rate = options.sample_rate or (card.sample_rate if card else None)
    if options.window_s is not None and rate:
        given["window_samples"] = round(options.window_s * rate)
    elif samples is not None and card is None:
        given["window_samples"] = samples
    missing = [
        option
        for option, field in [
            ("--labels", "labels"), ("--sample-rate", "sample_rate"), ("--window", "window_samples")
        ]
        if card is None and field not in given
    ]  # fmt: skip
    if missing:
        raise CardError(
            f"{path}: the file has no model card (metadata property {METADATA_KEY!r}) and "
            f"{path.with_suffix('.json').name} is not beside it: give {' '.join(missing)}"
        )
    notice = ""
    if options.activation is not None:
        given["activation"] = options.activation
    elif card is None:
        given["activation"] = _detect_activation(path, given.get("task", "single-label"))
    elif not has_activation and card.activation == "none" and card.task != "regression":
        notice = (
            f"{path}: the card names no activation, and the graph ends in one: none is applied "
            "after it (--activation says otherwise)"
        )
    if not given and card is not None:
        return card, notice
    fields = msgspec.to_builtins(card) if card else {"name": path.stem}
    try:
        return msgspec.convert({**fields, **given}, Card), notice
    except msgspec.ValidationError as error:
        raise CardError(
            f"{path}: what was said of the model does not fit: {error}: correct --labels, "
            "--sample-rate, --window, --activation or --task"
        ) from error


def find_card(path: Path, text: str | None, options: CardOptions) -> tuple[Card | None, bool]:
    """Read the card from the file or from the JSON file beside it.

    If the card names no activation, the graph's last operators decide, because a softmax applied
    twice would flatten all scores.

    Args:
        path: The file.
        text: The card in it; None if it holds none.
        options: What was said in place of a card.

    Returns:
        The card, or None; and whether the card names an activation.
    """
    origin = path
    if text is None:
        origin = path.with_suffix(".json")
        if not origin.is_file():
            return None, False
        text = read_text_file(origin, f"{origin}: the model card", CardError)
    fields = _decode_fields(text)
    if fields is None or "activation" in fields:
        return parse_card(text, str(origin)), True
    task = options.task or fields.get("task", "single-label")
    activation = options.activation or _detect_activation(path, task)
    completed = msgspec.json.encode({**fields, "task": task, "activation": activation})
    return parse_card(completed, str(origin)), False


def _decode_fields(text: str | bytes) -> dict[str, Any] | None:
    """Decode a card without checking its fields; None if it is no JSON object."""
    if len(text) > MAX_CARD_BYTES:
        return None
    try:
        fields = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _detect_activation(path: Path, task: Task) -> Activation:
    """Return ``none`` if the graph ends in an activation, else the usual one for the task."""
    graph = read_model(path).graph
    made_by = {output: node for node in graph.node for output in node.output}
    outputs = [output.name for output in graph.output]
    preferred = output_name(task)
    node = made_by.get(preferred if preferred in outputs else outputs[0])
    while node is not None and node.op_type in ("Identity", "Squeeze", "Reshape", "Cast"):
        node = made_by.get(node.input[0])
    if task == "regression" or (node is not None and node.op_type in ("Softmax", "Sigmoid")):
        return "none"
    return "sigmoid" if task == "multi-label" else "softmax"
