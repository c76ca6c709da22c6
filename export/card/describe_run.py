"""Descriptions of a run for its model card: network, training data and licence."""

from __future__ import annotations

from typing import Any

from train.nets.contract import System
from train.run_folder.reproduce import list_commands


def describe_network(config: dict[str, Any], system: System) -> str:
    """Describe the network and its training, with the commands that reproduce it."""
    text = f"{config['network']}: {config['title']}. {config['parameters']:,} parameters, "
    text += f"{config['recipe']['epochs']} epochs, seed {config['seed']}. {system.card_note()}"
    return f"{text.strip()} Made by {'; then '.join(list_commands(config))}."


def describe_data(config: dict[str, Any]) -> str:
    """Describe the data that the network learned from, directly or through earlier runs."""
    data = config["data"]
    folds = ", ".join(map(str, data["folds"]))
    text = f"{data['name']}, folds {folds}: {data['clips']} clips ({data['citation']}; "
    text += f"{data['licence']})."
    if "teacher" in config:
        # A run that continues from another has that run's labels, not those of its own recipe.
        share = config["teacher"].get("share", config["recipe"]["teacher_share"])
        text += (
            f" {share:.0%} of each label from a teacher: logistic "
            f"regression on the features in {config['teacher']['file']}, fitted across these "
            "folds, so that no clip was labelled by a head that had seen it; the features' own "
            "network was trained on AudioSet."
        )
    if before := config.get("layers_of"):
        text += (
            f" It began with the layers of {before['name']}, version {before['version']} "
            f"({before['file']}, SHA-256 {before['sha256']}), which learned from: "
            f"{before['training_data'] or 'its card does not say'}"
        )
        if before["heard_before"]:
            text += f" So {data['name']} was known to it: figures of held-out clips flatter it."
    if "imitation" in config:
        text += _describe_imitation(config["imitation"])
    if config.get("last_layer_alone"):
        text += " Of the labels only its last layer learned."
    if "strangers" in config:
        others = config["strangers"]
        text += f" All labels were alike of {others['sounds']} sounds of {others['name']} that "
        text += f"resemble none of them ({others['licence']})."
    if "more_speech" in config:
        others = config["more_speech"]
        text += f" {others['stretches']} stretches of words and pauses, of {others['recordings']} "
        text += f"more recordings of speech and {others['sounds']} sounds of {others['name']} in "
        text += f"which the teacher hears speech ({others['licence']}), it learned as speech."
    if "through_noise" in config:
        epochs = config["recipe"]["epochs"]
        text += f" Then it learned for {epochs} epochs to say under noise what it said without."
    return text


def _describe_imitation(imitation: dict[str, Any]) -> str:
    """Describe the mixtures and the teacher of an imitation."""
    sources = "; ".join(
        f"{source['name']}, {source['hours']:.1f} h"
        + (f" of folds {', '.join(map(str, source['folds']))}" if source["folds"] else "")
        + f" ({source['licence']})"
        for source in imitation["sources"]
    )
    text = (
        f" Before it learned any labels it learned to give what {imitation['teacher']['name']} "
        f"(trained on AudioSet) says of {imitation['windows']:,} windows mixed from {sources}."
    )
    if "named" in imitation:
        text += " It learned to give their names, too, as a linear layer on that teacher's "
        text += "features, which was fitted to the clips of these folds, gives them."
    if "stopped_after" in imitation:
        text += f" It was stopped after {imitation['stopped_after']:,} of {imitation['steps']:,} "
        text += "batches."
    if "windows_quieter" in imitation:
        n_windows = f"{imitation['windows_quieter']:,}"
        text += f" Most of {n_windows} of these it heard quieter than "
        text += f"{imitation['teacher']['name']} did, by up to {imitation['quieter']['db']:g} dB."
    if "windows_through_noise" in imitation:
        n_windows = f"{imitation['windows_through_noise']:,}"
        text += f" Most of {n_windows} of these it heard under noise that "
        text += f"{imitation['teacher']['name']} did not hear."
    return text


def describe_licence(config: dict[str, Any]) -> str:
    """The licence of the weights, as it follows from those of the data and of an earlier model."""
    data = config["data"]
    text = f"{data['licence']}, as the recordings of {data['name']} it was trained on"
    before = config.get("layers_of")
    if before and before["licence"] not in ("", text):
        text += f"; {before['licence']}, as {before['name']}, whose layers it has"
    return text
