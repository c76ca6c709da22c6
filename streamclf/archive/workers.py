"""Options of the workers that hear an archive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from streamclf.core.declare_option import option
from streamclf.core.errors import UsageError


@dataclass(frozen=True)
class WorkerOptions:
    """Where the items are heard, and by how many workers.

    Attributes:
        ray: Address of a Ray cluster, ``auto`` for the one that this machine belongs to; None for
            this machine alone.
        workers: Number of workers; None for one a core, or one a GPU where GPUs are asked for.
        gpus: Number of GPUs that the workers share.

    Raises:
        UsageError: A GPU would have no worker.
    """

    panel: ClassVar[str] = "Workers"

    ray: str | None = option(
        None,
        "--ray",
        metavar="ADDRESS",
        help="Join the Ray cluster at this address; auto joins the one that this machine belongs "
        "to. By default Ray is started on this machine alone.",
    )
    workers: int | None = option(
        None,
        "--workers",
        metavar="N",
        minimum=1,
        help="Number of workers; by default one a core, or one a GPU with --gpus.",
    )
    gpus: int | None = option(
        None, "--gpus", metavar="N", minimum=1, help="Number of GPUs that the workers share."
    )

    def __post_init__(self) -> None:
        if self.gpus and self.workers and self.workers < self.gpus:
            raise UsageError(
                f"--workers {self.workers}: is fewer than --gpus {self.gpus}, and each GPU needs "
                f"a worker: --workers {self.gpus} or more"
            )

    @property
    def gpus_each(self) -> float:
        """Share of a GPU that a worker takes."""
        if not self.gpus:
            return 0.0
        return int(10_000 * self.gpus / (self.workers or self.gpus)) / 10_000  # as Ray counts them
