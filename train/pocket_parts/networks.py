"""The networks that `train.pocket` trains: pocket's own, or the streamed layers of mn04_as."""

from __future__ import annotations

from train.nets.pocket_network import PocketNet
from train.nets.streamed_pocket import StreamedPocketNet
from train.pocket_parts.recipe import PocketRecipe

AnyPocket = PocketNet | StreamedPocketNet

STREAMED = "teacher"
"""`PocketRecipe.layers` of the streamed ones, as `train.distil` names them."""


def make_network(n_classes: int, recipe: PocketRecipe) -> AnyPocket:
    """The network of a recipe, with new weights."""
    if recipe.layers == STREAMED:
        return StreamedPocketNet(n_classes)
    return PocketNet(n_classes, recipe.widths)
