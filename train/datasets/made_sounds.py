"""Sounds that machines make by rule, made by the same rules: alarms, beeps, rings, hums, sweeps.

- Smoke alarms: the temporal pattern of three pulses (T3: 0.5 s on, 0.5 s off, three times, then
  1.5 s of silence; ISO 8201, NFPA 72), near 3.1 kHz or, of newer ones, a square wave of 520 Hz.
- Carbon monoxide alarms: four short pulses (T4: 0.1 s on, 0.1 s off, then 5 s; NFPA 720).
- Telephones: ringing, ring-back, busy and dial tones (ITU-T E.180; North America and Europe), the
  bell, the trill of electronic ringers.
- Household: the beeps of microwave ovens, washing machines, scanners, reversing lorries, alarm
  clocks, door chimes; mains hum, fans, engines, sirens (wail, yelp, two tones), sweeps, ticks.

Each is drawn anew: pitch, waveform, tempo, a room's echo.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

SAMPLE_RATE = 32000
TAKES = 24
Waveform = npt.NDArray[np.float64]
Random = np.random.Generator


def write_made_sounds(folder: Path) -> None:
    """Write ``KIND-nNUMBER.flac``, `TAKES` of each kind; what each holds follows from its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (kind, make) in enumerate(sorted(KINDS.items())):
        for take in range(TAKES):
            random = np.random.default_rng((3, number, take))
            sound = in_a_room(make(random), random)
            sound *= 10 ** (random.uniform(-12, -1) / 20) / max(np.abs(sound).max(), 1e-9)
            soundfile.write(folder / f"{kind}-n{take:02d}.flac", sound, SAMPLE_RATE)


def tone(
    random: Random, seconds: float, hz: float | Waveform, *, shape: str = "", edge_s: float = 0.004
) -> Waveform:
    """A tone with soft edges.

    Args:
        random: For what is not given.
        seconds: Its length.
        hz: Its pitch, or one for each sample.
        shape: ``sine``, ``square``, ``saw`` or ``buzz``; drawn unless given.
        edge_s: How long it rises and falls.
    """
    n = round(seconds * SAMPLE_RATE)
    turns = np.cumsum(np.broadcast_to(hz, n)) / SAMPLE_RATE
    shape = shape or str(random.choice(["sine", "square", "buzz"]))
    highest = max(1, int(0.45 * SAMPLE_RATE / max(np.max(hz), 1.0)))
    numbers = {
        "sine": range(1, 2),
        "square": range(1, min(highest, 24) + 1, 2),
        "saw": range(1, min(highest, 40) + 1),
        "buzz": range(1, min(highest, 7) + 1),
    }[shape]
    wave = np.zeros(n)
    for k in numbers:
        wave += np.sin(2 * np.pi * k * turns) / (k if shape != "buzz" else 1.0)
    edge = max(1, round(edge_s * SAMPLE_RATE))
    ramp = np.minimum(np.arange(n), np.arange(n)[::-1]) / edge
    return wave * np.clip(ramp, 0, 1)


def silence(seconds: float) -> Waveform:
    """Nothing."""
    return np.zeros(round(seconds * SAMPLE_RATE))


def pulses(wave: Callable[[], Waveform], gap_s: float, n: int) -> Waveform:
    """Some pulses, each with the same silence behind it."""
    return np.concatenate([part for _ in range(n) for part in (wave(), silence(gap_s))])


def in_a_room(sound: Waveform, random: Random) -> Waveform:
    """With the echo of a small or large room, in two of three cases, and a little noise."""
    if random.random() < 2 / 3:
        n = round(random.uniform(0.05, 0.6) * SAMPLE_RATE)
        echo = random.standard_normal(n) * np.exp(-6.9 * np.arange(n) / n)
        echo *= random.uniform(0.05, 0.5) / np.sqrt(np.sum(echo**2))
        echo[0] += 1
        size = len(sound) + n
        sound = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(echo, size), size)
    return sound + random.standard_normal(len(sound)) * np.abs(sound).max() * 10 ** random.uniform(
        -4, -2.3
    )


def smoke_alarm(random: Random) -> Waveform:
    """T3, twice or three times."""
    low = random.random() < 0.25
    hz = random.uniform(500, 540) if low else random.uniform(2800, 3500)
    shape = "square" if low else str(random.choice(["sine", "square"]))
    pace = random.uniform(0.9, 1.1)
    three = lambda: pulses(lambda: tone(random, 0.5 * pace, hz, shape=shape), 0.5 * pace, 3)  # noqa: E731
    return np.concatenate([part for _ in range(3) for part in (three(), silence(pace))])


def carbon_monoxide_alarm(random: Random) -> Waveform:
    """T4, with its long pause."""
    hz = random.uniform(2800, 3500)
    shape = str(random.choice(["sine", "square"]))
    four = lambda: pulses(lambda: tone(random, 0.1, hz, shape=shape), 0.1, 4)  # noqa: E731
    return np.concatenate([four(), silence(random.uniform(2, 5)), four(), silence(0.5)])


def low_battery(random: Random) -> Waveform:
    """A smoke alarm's chirp, now and then."""
    chirp = lambda: tone(random, random.uniform(0.03, 0.12), random.uniform(2800, 3500))  # noqa: E731
    return np.concatenate([silence(1), chirp(), silence(random.uniform(2, 4)), chirp(), silence(1)])


def beeps(random: Random) -> Waveform:
    """Make the beeps of a microwave oven, a washing machine or a monitor."""
    hz, on = random.uniform(800, 4200), random.uniform(0.06, 0.9)
    gap, n = random.uniform(0.08, 1.0), int(random.integers(2, 10))
    shape = str(random.choice(["sine", "square"]))
    return pulses(lambda: tone(random, on, hz, shape=shape), gap, n)


def alarm_clock(random: Random) -> Waveform:
    """Groups of quick beeps."""
    hz, n = random.uniform(1500, 4200), int(random.integers(2, 5))
    group = lambda: pulses(lambda: tone(random, 0.07, hz, shape="square"), 0.06, n)  # noqa: E731
    gap = random.uniform(0.2, 0.7)
    return np.concatenate([part for _ in range(7) for part in (group(), silence(gap))])


def reversing(random: Random) -> Waveform:
    """A lorry that backs."""
    hz = random.uniform(900, 1500)
    return pulses(lambda: tone(random, 0.5, hz, shape="square"), random.uniform(0.4, 0.6), 6)


def scanner(random: Random) -> Waveform:
    """The beeps of a till, at odd times."""
    hz = random.uniform(1800, 3200)
    parts = [(tone(random, 0.1, hz), silence(random.uniform(0.3, 2.5))) for _ in range(5)]
    return np.concatenate([part for pair in parts for part in pair])


def phone_tones(random: Random) -> Waveform:
    """Dial, ring-back and busy tones."""
    pairs = [(350, 440), (440, 480), (480, 620), (425, 425), (400, 450)]
    low, high = pairs[random.integers(len(pairs))]
    on, off, n = [(6.0, 0.1, 1), (2.0, 4.0, 2), (0.5, 0.5, 8), (0.25, 0.25, 14), (1.0, 4.0, 2)][
        random.integers(5)
    ]
    make = lambda: tone(random, on, low, shape="sine") + tone(random, on, high, shape="sine")  # noqa: E731
    return pulses(make, off, n)


def dialling(random: Random) -> Waveform:
    """Touch tones (ITU-T Q.23)."""
    rows, columns = (697, 770, 852, 941), (1209, 1336, 1477)
    parts = []
    for _ in range(random.integers(5, 12)):
        pair = rows[random.integers(4)], columns[random.integers(3)]
        parts.append(sum(tone(random, 0.15, hz, shape="sine") for hz in pair))
        parts.append(silence(random.uniform(0.05, 0.3)))
    return np.concatenate(parts)


def phone_bell(random: Random) -> Waveform:
    """An old telephone's two gongs, struck twenty times a second."""
    gongs = random.uniform(800, 1400, 2)
    ring_s, rate = random.uniform(1.0, 2.0), random.uniform(16, 25)
    n = round(ring_s * SAMPLE_RATE)
    time = np.arange(n) / SAMPLE_RATE
    ring = np.zeros(n)
    for strike in np.arange(0, ring_s, 1 / rate):
        hz = gongs[round(strike * rate) % 2]
        since = np.clip(time - strike, 0, None)
        decay = np.exp(-since * random.uniform(8, 14)) * (time >= strike)
        partials = [(1, 1.0), (2.76, 0.5), (5.4, 0.25)]
        ring += decay * sum(a * np.sin(2 * np.pi * hz * k * since) for k, a in partials)
    return np.concatenate([ring, silence(random.uniform(1, 2)), ring, silence(1)])


def phone_trill(random: Random) -> Waveform:
    """An electronic ringer that warbles between two tones."""
    low, rate = random.uniform(700, 1600), random.uniform(8, 25)
    n = round(random.uniform(1, 2) * SAMPLE_RATE)
    upper = low * random.uniform(1.15, 1.5)
    hz = np.where(np.floor(np.arange(n) / SAMPLE_RATE * rate * 2) % 2 == 0, low, upper)
    ring = lambda: tone(random, n / SAMPLE_RATE, hz)  # noqa: E731
    return pulses(ring, random.uniform(0.8, 2.5), 3)


def ringtone(random: Random) -> Waveform:
    """A few notes, again and again."""
    root, pace = random.uniform(400, 1100), random.uniform(0.09, 0.25)
    steps = random.choice([0, 2, 4, 5, 7, 9, 12], int(random.integers(4, 9)))
    shape = str(random.choice(["sine", "square", "buzz"]))
    notes = [tone(random, pace, root * 2 ** (step / 12), shape=shape) for step in steps]
    return np.concatenate([*notes, silence(0.4)] * 3)


def door_chime(random: Random) -> Waveform:
    """Ding, dong."""
    first = random.uniform(500, 900)
    notes = [first, first * random.choice([0.794, 0.841, 0.749]), first * 0.667]
    parts = []
    for hz in notes[: int(random.integers(2, 4))]:
        n = round(1.2 * SAMPLE_RATE)
        time = np.arange(n) / SAMPLE_RATE
        bell = sum(
            np.sin(2 * np.pi * hz * k * time) * a for k, a in ((1, 1.0), (2, 0.3), (3.9, 0.2))
        )
        parts.append(bell * np.exp(-time * random.uniform(2, 5)))
    return np.concatenate([*parts, silence(1), *parts])


def siren(random: Random) -> Waveform:
    """Wail, yelp, or two tones."""
    n = 9 * SAMPLE_RATE
    time = np.arange(n) / SAMPLE_RATE
    low, high = random.uniform(400, 700), random.uniform(1000, 1700)
    kind = random.integers(3)
    if kind == 2:
        pace = random.uniform(0.3, 0.8)
        hz = np.where(np.floor(time / pace) % 2 == 0, low, low * 4 / 3)
    else:
        rate = random.uniform(0.1, 0.35) if kind == 0 else random.uniform(2, 5)
        hz = low + (high - low) * (0.5 - 0.5 * np.cos(2 * np.pi * rate * time))
    return tone(random, 9.0, hz, shape=str(random.choice(["square", "saw", "buzz"])))


def car_alarm(random: Random) -> Waveform:
    """Sweeps up, quickly, again and again."""
    time = np.arange(8 * SAMPLE_RATE) / SAMPLE_RATE
    phase = (time * random.uniform(1, 6)) % 1
    return tone(random, 8.0, random.uniform(600, 1200) * (1 + phase), shape="square")


def sweep(random: Random) -> Waveform:
    """A tone that glides."""
    ends = np.exp(random.uniform(np.log(80), np.log(7000), 2))
    seconds = random.uniform(0.5, 6)
    n = round(seconds * SAMPLE_RATE)
    return tone(random, seconds, np.geomspace(*ends, n))


def steady_tone(random: Random) -> Waveform:
    """A test tone."""
    return tone(random, 5.0, float(np.exp(random.uniform(np.log(60), np.log(7000)))))


def hum(random: Random) -> Waveform:
    """Make the hum of the mains, a transformer or a refrigerator."""
    mains = float(random.choice([50.0, 60.0]))
    time = np.arange(8 * SAMPLE_RATE) / SAMPLE_RATE
    wave = np.zeros(len(time))
    for k in range(1, int(random.integers(4, 20))):
        wave += random.uniform(0, 1) / k**0.5 * np.sin(2 * np.pi * mains * k * time)
    return wave + 0.05 * _coloured(random, len(time), random.uniform(3, 9))


def fan(random: Random) -> Waveform:
    """Broad noise, blades in it."""
    n = 8 * SAMPLE_RATE
    time = np.arange(n) / SAMPLE_RATE
    blades = random.uniform(15, 120)
    swell = 1 + random.uniform(0.05, 0.5) * np.sin(2 * np.pi * blades * time)
    whine = random.uniform(0, 0.3) * np.sin(2 * np.pi * blades * random.integers(3, 9) * time)
    return _coloured(random, n, random.uniform(3, 8)) * swell + whine


def engine(random: Random) -> Waveform:
    """Explosions of some cylinders, at a speed that changes, through a pipe."""
    n = 9 * SAMPLE_RATE
    time = np.arange(n) / SAMPLE_RATE
    idle = random.uniform(12, 45)
    speed = idle * (1 + random.uniform(0, 2.5) * (0.5 - 0.5 * np.cos(
        2 * np.pi * random.uniform(0.03, 0.4) * time + random.uniform(0, 6))))  # fmt: skip
    turns = np.cumsum(speed) / SAMPLE_RATE
    pulse = np.exp(-((turns % 1.0) * random.uniform(4, 14)))
    limp = 1 + random.uniform(0, 0.5) * np.sin(np.pi * turns)
    raw = pulse * limp * (1 + 0.5 * random.standard_normal(n))
    return _resonate(raw, random)


def propeller(random: Random) -> Waveform:
    """Make an aeroplane's drone, or the thumps of a helicopter's rotor."""
    n = 9 * SAMPLE_RATE
    time = np.arange(n) / SAMPLE_RATE
    rotor = random.random() < 0.5
    rate = random.uniform(9, 25) if rotor else random.uniform(50, 110)
    phase = (rate * time) % 1.0
    thump = np.exp(-phase * random.uniform(3, 9)) * _coloured(random, n, 6)
    drone = sum(np.sin(2 * np.pi * rate * k * time) / k for k in range(1, 18))
    far = 10 ** (-abs(time - random.uniform(0, 9)) * random.uniform(0, 4) / 20)
    return (thump + random.uniform(0.05, 0.6) * drone) * far


def ticking(random: Random) -> Waveform:
    """A clock."""
    wave, at = silence(9.0), 0.2
    step = random.uniform(0.2, 1.0)
    for number in range(40):
        begin = round(at * SAMPLE_RATE)
        n = round(0.02 * SAMPLE_RATE)
        if begin + n >= len(wave):
            break
        hz = random.uniform(1500, 5000) * (1.0 if number % 2 else 0.85)
        click = np.exp(-np.arange(n) / (0.003 * SAMPLE_RATE)) * np.sin(
            2 * np.pi * hz * np.arange(n) / SAMPLE_RATE
        )
        wave[begin : begin + n] += click
        at += step
    return wave


def whistle(random: Random) -> Waveform:
    """Breath and a wavering tone: a kettle, a referee, somebody who whistles."""
    n = round(random.uniform(1, 5) * SAMPLE_RATE)
    time = np.arange(n) / SAMPLE_RATE
    hz = random.uniform(900, 3800) * (1 + 0.02 * np.sin(2 * np.pi * random.uniform(3, 40) * time))
    breath = 0.1 * random.standard_normal(n)
    return np.concatenate([tone(random, n / SAMPLE_RATE, hz, shape="sine") + breath, silence(0.5)])


def morse(random: Random) -> Waveform:
    """Dots and dashes."""
    hz, unit = random.uniform(400, 1200), random.uniform(0.04, 0.12)
    parts = []
    for _ in range(25):
        parts.append(tone(random, unit * random.choice([1, 3]), hz, shape="sine"))
        parts.append(silence(unit * random.choice([1, 1, 3])))
    return np.concatenate(parts)


def buzzer(random: Random) -> Waveform:
    """A door's, or a wrong answer's."""
    hz = random.uniform(80, 400)
    return pulses(lambda: tone(random, random.uniform(0.3, 1.5), hz, shape="saw"), 0.6, 3)


def _coloured(random: Random, n: int, falls_db: float) -> Waveform:
    """Noise of a root mean square of 1 that falls by some dB an octave above 60 Hz."""
    hz = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
    gain = 10 ** (-falls_db * np.log2(np.maximum(hz, 60) / 60) / 20)
    noise = np.fft.irfft(np.fft.rfft(random.standard_normal(n)) * gain, n)
    return noise / np.sqrt(np.mean(noise**2))


def _resonate(raw: Waveform, random: Random) -> Waveform:
    """Through a pipe: peaks at some frequencies, less above."""
    hz = np.fft.rfftfreq(len(raw), 1 / SAMPLE_RATE)
    gain = 1 / (1 + (hz / random.uniform(400, 2500)) ** 2)
    for centre in random.uniform(60, 1500, 4):
        gain += random.uniform(0, 1) / (1 + ((hz - centre) / (0.15 * centre)) ** 2)
    gain[hz < 20] = 0
    return np.fft.irfft(np.fft.rfft(raw) * gain, len(raw))


KINDS: dict[str, Callable[[Random], Waveform]] = {
    make.__name__: make
    for make in (
        smoke_alarm, carbon_monoxide_alarm, low_battery, beeps, alarm_clock, reversing, scanner,
        phone_tones, dialling, phone_bell, phone_trill, ringtone, door_chime, siren, car_alarm,
        sweep, steady_tone, hum, fan, engine, propeller, ticking, whistle, morse, buzzer,
    )
}  # fmt: skip
"""Makers of sounds, by name."""
