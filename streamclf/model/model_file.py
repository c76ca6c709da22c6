"""A model file opened: its graph in an ONNX Runtime session, and its card.

The card is looked for in the file's metadata, then in a sidecar ``NAME.json``; without either,
`CardOptions` must say what the model hears (``--labels --sample-rate --window``).
"""

from __future__ import annotations

from dataclasses import dataclass
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
from streamclf.core.cpu_count import count_if_fewer
from streamclf.core.errors import CardError, ModelError
from streamclf.core.labels import read_labels
from streamclf.core.text_files import read_small
from streamclf.model.providers import Provider, open_part, open_session
from streamclf.model.vetting.vetting import vet_model

BUNDLED = Path(__file__).parents[1] / "models"
DEFAULT_MODEL = "pocket"

MAX_BATCH = 1024
"""A graph that insists on larger batches is refused: each is filled up with silence."""

_NUMBERS = frozenset(["tensor(float)", "tensor(float16)", "tensor(double)"])

InputLayout = Literal["batch", "batch-channel", "single"]


@dataclass(frozen=True)
class CardOptions:
    """What a user says of a model on the command line; overrides what the model says itself.

    Attributes:
        labels: A text file with a label a line, or a CSV with a column ``display_name``,
            ``label`` or ``name``.
        sample_rate: In Hz.
        window_s: Window length in seconds.
        activation: What turns the output into scores.
        task: What the model does.
    """

    labels: Path | str | None = None
    sample_rate: int | None = None
    window_s: float | None = None
    activation: Activation | None = None
    task: Task | None = None

    @property
    def given(self) -> bool:
        """Whether anything was said at all."""
        return self != CardOptions()


SMALL_BYTES = 4_000_000
"""A network of fewer bytes is done before a second thread is of much use."""


class Model:
    """An open model.

    Args:
        path: The ``.onnx`` file, or the name of a bundled model, such as ``pocket``.
        provider: The execution provider wanted.
        options: What the user says of the model.
        n_threads: For ONNX Runtime; 0: one for a network below `SMALL_BYTES`, else as it decides,
            or as many as this process may use where the machine has more.
        live: Live sessions run a window now and then: their threads must not spin in between.

    Attributes:
        path: The file.
        card: The model card.
        session: The ONNX Runtime session of the whole graph; None between `release` and `reopen`.
        live: As given.
        small: Whether its file and the weights beside it are below `SMALL_BYTES` together.
        n_threads: That run it on a CPU; 0 if ONNX Runtime decides.
        provider: The provider really used.
        provider_reason: Why ``auto`` took it.
        input_name: Of the graph's waveform input.
        output_name: Of the output that is read.
        layout: ``batch`` (batch, samples), ``batch-channel`` (batch, 1, samples) or
            ``single`` (samples,).
        fixed_batch: The batch size the graph insists on, or None.
        notice: What was seen in the graph because nothing said it; empty if nothing was.

    Raises:
        ModelError: The file is missing, no ONNX, or takes no waveform.
        CardError: Nothing says what it hears, or what is said contradicts the graph.
        ProviderError: The provider asked for is not to be had.
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
        self.n_threads = n_threads or (1 if self.small else count_if_fewer())
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
        """See what the graph takes and what its card says."""
        path = self.path
        node = _waveform_input(path, self.session)
        self.input_name: str = node.name
        self.input_type: str = node.type
        self.layout, samples, self.fixed_batch = _layout(path, node)
        self.card, self.notice = _read_card(path, self.session, options, samples)
        self.output_name = _output(path, self.session, self.card.output_name)
        if samples is not None and samples != self.card.window_samples:
            raise CardError(
                f"{path}: the graph takes windows of {samples} samples, the card says "
                f"{self.card.window_samples}: correct --window or the card"
            )

    @property
    def can_split(self) -> bool:
        """Whether the card names a stem, and batches of any size can be fed to it."""
        return self.card.stem is not None and self.layout == "batch" and self.fixed_batch is None

    def open_part(self, content: bytes, *, recorded: bool = False) -> Any:
        """Open a part of the graph, as ONNX, in a session of its own (`providers.open_part`)."""
        threads = self.n_threads
        return open_part(content, self.path, self.provider, n_threads=threads, recorded=recorded)

    def release(self) -> None:
        """Close the whole graph's session: its parts take over, and hold the weights again."""
        self.session = None

    def reopen(self) -> None:
        """Open the whole graph's session again, after all."""
        provider: Any = self.provider
        self.session, _, _ = open_session(
            self.path, provider, n_threads=self.n_threads, live=self.live
        )


def find_model(name: str | Path) -> Path:
    """Turn ``--model`` into a path: a file, or the name of a bundled model.

    A bare name is a bundled model's, whatever lies in the working directory; a file's has a folder
    in front or ends in ``.onnx``. A `Path` is a file's in any case.

    Raises:
        ModelError: It is neither.
    """
    bundled = bundled_models()
    if isinstance(name, str) and is_bare(name):
        if name.removeprefix("pocket-") in bundled:
            return bundled[name.removeprefix("pocket-")]
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
        raise ModelError(f"{name}: is a folder, --model takes an .onnx file")
    if not is_there:
        raise ModelError(
            f"{name}: no such model file, and no bundled model of that name ({', '.join(bundled)})"
        )
    return path


def is_bare(name: str) -> bool:
    """Whether a name can only be a bundled model's: without a folder, and without ``.onnx``."""
    return Path(name).name == name and not name.lower().endswith(".onnx")


def name_for_later(name: str) -> str:
    """A name that finds the same model from whatever folder it is asked for later."""
    return name if is_bare(name) else str(Path(name).absolute())


def bundled_models() -> dict[str, Path]:
    """The models that come with streamclf, by name: ``pocket``, and ``esc10`` of pocket-esc10."""
    paths = sorted(BUNDLED.glob("*.onnx"))
    return {path.stem.removeprefix("pocket-"): path for path in paths}


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


def _output(path: Path, session: Any, preferred: str) -> str:
    """The name of the output to read: the preferred one, or the first."""
    types = {node.name: node.type for node in session.get_outputs()}
    name = preferred if preferred in types else next(iter(types), "")
    if types.get(name) not in _NUMBERS:
        found = f"{name!r} of type {types[name]}" if types else "none"
        raise ModelError(
            f"{path}: the graph's output is {found}, a streamclf model gives numbers: "
            "export it anew"
        )
    return name


def _layout(path: Path, node: Any) -> tuple[InputLayout, int | None, int | None]:
    """Recognise the input's shape: layout, samples a window and batch size where fixed."""
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
    """The card as it is written, found in the graph and said by the user; and what was found."""
    said: dict[str, Any] = {}
    if options.labels is not None:
        said["labels"] = read_labels(Path(options.labels))
    if options.sample_rate is not None:
        said["sample_rate"] = options.sample_rate
    if options.task is not None:
        said["task"] = options.task
    card, activation_said = _written_card(path, session, options)
    rate = options.sample_rate or (card.sample_rate if card else None)
    if options.window_s is not None and rate:
        said["window_samples"] = round(options.window_s * rate)
    elif samples is not None and card is None:
        said["window_samples"] = samples
    missing = [
        option
        for option, field in [
            ("--labels", "labels"), ("--sample-rate", "sample_rate"), ("--window", "window_samples")
        ]
        if card is None and field not in said
    ]  # fmt: skip
    if missing:
        raise CardError(
            f"{path}: the file has no model card (metadata property {METADATA_KEY!r}) and "
            f"{path.with_suffix('.json').name} is not beside it: give {' '.join(missing)}"
        )
    notice = ""
    if options.activation is not None:
        said["activation"] = options.activation
    elif card is None:
        said["activation"] = _activation_of(path, said.get("task", "single-label"))
    elif not activation_said and card.activation == "none" and card.task != "regression":
        notice = (
            f"{path}: the card names no activation, and the graph ends in one: none is applied "
            "after it (--activation says otherwise)"
        )
    if not said and card is not None:
        return card, notice
    known = msgspec.to_builtins(card) if card else {"name": path.stem}
    try:
        return msgspec.convert({**known, **said}, Card), notice
    except msgspec.ValidationError as error:
        raise CardError(
            f"{path}: what was said of the model does not fit: {error}: correct --labels, "
            "--sample-rate, --window, --activation or --task"
        ) from error


def _written_card(path: Path, session: Any, options: CardOptions) -> tuple[Card | None, bool]:
    """The card in the file or beside it, and whether it names an activation.

    Where it names none, the graph is looked at: a softmax applied twice flattens every score.
    """
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    origin = path
    if text is None:
        origin = path.with_suffix(".json")
        if not origin.is_file():
            return None, False
        text = read_small(origin, f"{origin}: the model card", CardError)
    fields = _fields_of(text)
    if fields is None or "activation" in fields:
        return parse_card(text, str(origin)), True
    task = options.task or fields.get("task", "single-label")
    activation = options.activation or _activation_of(path, task)
    completed = msgspec.json.encode({**fields, "task": task, "activation": activation})
    return parse_card(completed, str(origin)), False


def _fields_of(text: str | bytes) -> dict[str, Any] | None:
    """What a card says, unchecked; None where it is not even an object."""
    if len(text) > MAX_CARD_BYTES:
        return None
    try:
        fields = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _activation_of(path: Path, task: Task) -> Activation:
    """See whether a graph of which nobody says so ends in an activation of its own."""
    import onnx  # only models whose card does not tell need it

    graph = onnx.load(path, load_external_data=False).graph
    made_by = {output: node for node in graph.node for output in node.output}
    outputs = [output.name for output in graph.output]
    preferred = output_name(task)
    node = made_by.get(preferred if preferred in outputs else outputs[0])
    while node is not None and node.op_type in ("Identity", "Squeeze", "Reshape", "Cast"):
        node = made_by.get(node.input[0])
    if task == "regression" or (node is not None and node.op_type in ("Softmax", "Sigmoid")):
        return "none"
    return "sigmoid" if task == "multi-label" else "softmax"
