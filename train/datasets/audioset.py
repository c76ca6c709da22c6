"""AudioSet's labels, and which of them mean a class of ESC-50.

J. Gemmeke et al., Audio Set, ICASSP 2017; the list of labels is Google's (CC BY 4.0), and so is the
ontology (CC BY-SA 4.0), which says which labels are broader than others.
"""

from __future__ import annotations

import json
from pathlib import Path

from train.base.errors import DatasetError
from train.datasets.dataset import read_table

ESC50_MEANS = {
    "airplane": ("Fixed-wing aircraft, airplane", "Aircraft", "Jet engine", "Aircraft engine",
                 "Propeller, airscrew"),
    "breathing": ("Breathing", "Pant", "Gasp", "Wheeze"),
    "brushing_teeth": ("Toothbrush", "Electric toothbrush"),
    "can_opening": ("Burst, pop", "Crack"),
    "car_horn": ("Vehicle horn, car horn, honking", "Toot", "Air horn, truck horn"),
    "cat": ("Cat", "Meow", "Purr", "Caterwaul"),
    "chainsaw": ("Chainsaw",),
    "chirping_birds": ("Bird", "Bird vocalization, bird call, bird song", "Chirp, tweet"),
    "church_bells": ("Church bell", "Change ringing (campanology)", "Bell"),
    "clapping": ("Clapping", "Applause"),
    "clock_alarm": ("Alarm clock", "Beep, bleep", "Buzzer", "Alarm"),
    "clock_tick": ("Tick-tock", "Tick", "Clock"),
    "coughing": ("Cough", "Throat clearing"),
    "cow": ("Cattle, bovinae", "Moo"),
    "crackling_fire": ("Fire", "Crackle"),
    "crickets": ("Cricket",),
    "crow": ("Crow", "Caw"),
    "crying_baby": ("Baby cry, infant cry",),
    "dog": ("Dog", "Bark", "Bow-wow", "Yip"),
    "door_wood_creaks": ("Creak", "Squeak"),
    "door_wood_knock": ("Knock",),
    "drinking_sipping": ("Gargling", "Gurgling", "Slosh"),
    "engine": ("Engine", "Idling", "Engine starting", "Medium engine (mid frequency)",
               "Heavy engine (low frequency)", "Engine knocking"),
    "fireworks": ("Fireworks", "Firecracker"),
    "footsteps": ("Walk, footsteps", "Run"),
    "frog": ("Frog", "Croak"),
    "glass_breaking": ("Shatter", "Glass", "Breaking"),
    "hand_saw": ("Sawing",),
    "helicopter": ("Helicopter",),
    "hen": ("Chicken, rooster", "Cluck", "Fowl"),
    "insects": ("Insect", "Fly, housefly", "Buzz", "Bee, wasp, etc.", "Mosquito"),
    "keyboard_typing": ("Typing", "Computer keyboard", "Typewriter"),
    "laughing": ("Laughter", "Giggle", "Belly laugh", "Chuckle, chortle", "Snicker",
                 "Baby laughter"),
    "mouse_click": ("Clicking",),
    "pig": ("Pig", "Oink"),
    "pouring_water": ("Pour", "Fill (with liquid)", "Trickle, dribble"),
    "rain": ("Rain", "Rain on surface"),
    "rooster": ("Crowing, cock-a-doodle-doo",),
    "sea_waves": ("Waves, surf", "Ocean"),
    "sheep": ("Sheep", "Bleat", "Goat"),
    "siren": ("Siren", "Civil defense siren", "Police car (siren)", "Ambulance (siren)",
              "Fire engine, fire truck (siren)", "Emergency vehicle"),
    "sneezing": ("Sneeze",),
    "snoring": ("Snoring",),
    "thunderstorm": ("Thunder", "Thunderstorm"),
    "toilet_flush": ("Toilet flush",),
    "train": ("Train", "Rail transport", "Railroad car, train wagon", "Train whistle",
              "Train horn", "Train wheels squealing", "Subway, metro, underground"),
    "vacuum_cleaner": ("Vacuum cleaner",),
    "washing_machine": ("Mechanisms",),
    "water_drops": ("Drip", "Raindrop", "Plop"),
    "wind": ("Wind", "Wind noise (microphone)"),
}  # fmt: skip
"""AudioSet labels for each class of ESC-50; the class gets the highest of their scores."""


def read_label_names(path: Path) -> list[str]:
    """AudioSet's display names, in the order of its outputs.

    Raises:
        DatasetError: The file is missing or another one.
    """
    try:
        return [row["display_name"] for row in read_table(path, ["display_name"])]
    except DatasetError as error:
        raise DatasetError(f"{error} (AudioSet's class_labels_indices.csv)") from error


def read_broader(ontology: Path, labels: Path) -> dict[str, list[str]]:
    """The labels that are broader than each label by one step, by AudioSet's ontology.

    What the ontology has between two labels, but the list of labels has not, is passed over.

    Args:
        ontology: Its ``ontology.json``.
        labels: Its ``class_labels_indices.csv``.

    Raises:
        DatasetError: A file is missing or another one.
    """
    columns = ["mid", "display_name"]
    names = {row["mid"]: row["display_name"] for row in read_table(labels, columns)}
    expected = "expected is ontology.json of github.com/audioset/ontology"
    above: dict[str, list[str]] = {}
    try:
        for entry in json.loads(ontology.read_text("utf-8")):
            for child in entry["child_ids"]:
                above.setdefault(child, []).append(entry["id"])
    except OSError as error:
        raise DatasetError(f"{ontology}: cannot be read: {error.strerror}; {expected}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise DatasetError(f"{ontology}: no ontology; {expected}") from error
    broader = {}
    for mid, name in names.items():
        found, ways = [], list(above.get(mid, ()))
        while ways:
            way = ways.pop(0)
            if way in names:
                found.append(names[way])
            else:
                ways += above.get(way, ())
        if found:
            broader[name] = sorted(set(found))
    if not broader:
        raise DatasetError(f"{ontology}: has none of the labels of {labels.name}; {expected}")
    return broader


def columns_of(names: list[str], labels: tuple[str, ...]) -> list[list[int]]:
    """Indices of AudioSet's outputs for each of the given classes of ESC-50."""
    place = {name: k for k, name in enumerate(names)}
    return [[place[each] for each in ESC50_MEANS[label] if each in place] for label in labels]
