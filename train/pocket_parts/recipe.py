"""The recipe of `pocket`."""

from __future__ import annotations

from dataclasses import dataclass

from train.base.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class PocketRecipe(Recipe):
    """The recipe's fields for `pocket`.

    Attributes:
        mixup: Parameter of the Beta distribution of ratios; 0 does not mix.
        gain_db: Largest random gain, up or down.
        shift_bands: Most mels by which a spectrum is shifted, up or down.
        colour_db: Standard deviation of the gains of a random filter.
        edge_share: Part of the windows that reach beyond their clip.
        noise_share: Part of the windows with noise.
        snr_db: Level of their loudest frame over the noise, from and to.
        quiet_share: Part of the windows that are made quieter, noise included.
        quiet_db: Largest attenuation of these.
        noise_alone: Part of the windows that are noise alone, with all labels alike.
        widest_mels: SpecAugment's widest band of mels; two for each clip.
        widest_frames: SpecAugment's widest band of frames; two for each clip.
        teacher_share: Part of each label that comes from the teacher, where there is one.
        kept_share: Share of the weights that noise training began with in those it ends with.
        widths: Channels of each of the seven blocks of pocket's own layers.
        layers: ``pocket`` for those, ``teacher`` for the streamed ones of mn04_as.
    """

    mixup: float = 0.5
    gain_db: float = 10.0
    shift_bands: int = 1
    colour_db: float = 1.5
    edge_share: float = 0.1
    noise_share: float = 0.35
    snr_db: tuple[float, float] = (5.0, 40.0)
    quiet_share: float = 0.0
    quiet_db: float = 40.0
    noise_alone: float = 0.03
    widest_mels: int = 8
    widest_frames: int = 6
    teacher_share: float = 0.7
    kept_share: float = 0.0
    widths: tuple[int, ...] = (32, 64, 128, 128, 256, 256, 384)
    """The default is that of old runs, whose recipe has no widths."""
    layers: str = "pocket"
