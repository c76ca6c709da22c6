"""AudioSet's labels, and which of them mean a class of ESC-50.

J. Gemmeke et al., Audio Set, ICASSP 2017; the list of labels is Google's (CC BY 4.0), and so is the
ontology (CC BY-SA 4.0), which says which labels are broader than others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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

URBANSOUND8K_MEANS = {
    "air_conditioner": ("Air conditioning", "Mechanical fan"),
    "car_horn": ESC50_MEANS["car_horn"],
    "children_playing": ("Children playing", "Children shouting", "Child speech, kid speaking"),
    "dog_bark": ESC50_MEANS["dog"],
    "drilling": ("Drill", "Power tool"),
    "engine_idling": ESC50_MEANS["engine"],
    "gun_shot": ("Gunshot, gunfire", "Machine gun", "Fusillade", "Artillery fire", "Cap gun"),
    "jackhammer": ("Jackhammer",),
    "siren": ESC50_MEANS["siren"],
    "street_music": ("Music", "Musical instrument", "Singing"),
}
"""AudioSet labels for each class of UrbanSound8K."""

MEANS = {"esc50": ESC50_MEANS, "esc10": ESC50_MEANS, "urbansound8k": URBANSOUND8K_MEANS}
"""By the name of a data set."""

NO_EVENTS = {
    "where it sounds, or how it was recorded, and not what sounds": (
        "Silence", "Inside, small room", "Inside, large room or hall", "Inside, public space",
        "Outside, urban or manmade", "Outside, rural or natural", "Reverberation", "Echo",
        "Field recording", "Television", "Radio",
    ),
    "what a microphone or a line adds, and sounds as such": (
        "Noise", "Environmental noise", "Static", "Mains hum", "Distortion", "Sidetone",
        "Cacophony", "White noise", "Pink noise", "Throbbing", "Vibration", "Sound effect",
        "Pulse", "Sine wave", "Harmonic", "Chirp tone", "Effects unit", "Chorus effect",
        "Electronic tuner",
    ),
    "how is spoken, which 1.5 s do not say; the voice is an event": (
        "Conversation", "Narration, monologue", "Speech synthesizer",
    ),
    "the mood of music; Music is an event": (
        "Happy music", "Funny music", "Sad music", "Tender music", "Exciting music", "Angry music",
        "Scary music",
    ),
    "what music is for; Music is an event": (
        "Song", "Background music", "Theme music", "Jingle (music)", "Soundtrack music", "Lullaby",
        "Video game music", "Christmas music", "Dance music", "Wedding music",
        "Music for children", "Independent music", "Traditional music",
    ),
    "the style of music, which 1.5 s do not say; Music and its instruments are events": (
        "Pop music", "Hip hop music", "Rock music", "Heavy metal", "Punk rock", "Grunge",
        "Progressive rock", "Rock and roll", "Psychedelic rock", "Rhythm and blues", "Soul music",
        "Reggae", "Country", "Swing music", "Bluegrass", "Funk", "Folk music",
        "Middle Eastern music", "Jazz", "Disco", "Classical music", "Opera", "Electronic music",
        "House music", "Techno", "Dubstep", "Drum and bass", "Electronica",
        "Electronic dance music", "Ambient music", "Trance music", "Music of Latin America",
        "Salsa music", "Flamenco", "Blues", "New-age music", "Vocal music", "A capella",
        "Music of Africa", "Afrobeat", "Christian music", "Gospel music", "Music of Asia",
        "Carnatic music", "Music of Bollywood", "Ska",
    ),
}  # fmt: skip
"""Labels that are never reported as events, by the reason."""


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


def no_events(names: list[str]) -> list[str]:
    """The labels among these that are never reported as events, in their order."""
    silent = {label for labels in NO_EVENTS.values() for label in labels}
    return [name for name in names if name in silent]


def columns_of(
    names: list[str],
    labels: tuple[str, ...],
    means: Mapping[str, tuple[str, ...]] = ESC50_MEANS,
) -> list[list[int]]:
    """Indices of AudioSet's outputs for each of the given classes of ESC-50, or of another set."""
    place = {name: k for k, name in enumerate(names)}
    return [[place[each] for each in means[label] if each in place] for label in labels]
