"""A stand-in of Ray in this process: its workers are objects, and answers are there at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from types import SimpleNamespace
from typing import Any


class LostError(Exception):
    """What Ray raises of an actor that has ended."""


class PretendRay:
    """The part of the module ``ray`` that runs of archives use.

    Args:
        n_cores: Cores of the cluster.
    """

    exceptions = SimpleNamespace(RayActorError=LostError)

    def __init__(self, n_cores: int = 2) -> None:
        self._n_cores = n_cores
        self.actors: list[Any] = []
        self.n_killed = 0

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self._n_cores}

    def method(self, **how: Any) -> Callable[[Any], Any]:
        return lambda function: function

    def remote(self, **how: Any) -> Callable[[type], Any]:
        return lambda kind: SimpleNamespace(
            options=lambda **more: SimpleNamespace(remote=partial(self._hire, kind))
        )

    def kill(self, actor: Any) -> None:
        self.n_killed += 1

    def _hire(self, kind: type, *arguments: Any) -> Any:
        actor = kind(*arguments)
        self.actors.append(actor)
        names = ("begin", "run", "stop")
        return SimpleNamespace(
            **{name: SimpleNamespace(remote=partial(_call, getattr(actor, name))) for name in names}
        )


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    answer: Future[Any] = Future()
    try:
        answer.set_result(function(*arguments))
    except Exception as error:
        answer.set_exception(error)
    return SimpleNamespace(future=lambda: answer)
