"""Synthesized impacts of every material and size, alone and in pairs, and the crackling of a fire.

Legend: K templates, W windows after a hit, B frequency bands, S samples.
"""

from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement

import numpy as np

from data.bounce.audio import MODES, damped, strike
from data.bounce.vocabulary import SIZES
from eval.bounce_checker.audio_spectra import SAMPLE_RATE, window_powers
from src.core.rng import numpy_generator

Object = tuple[str, str]  # material, size

STRIKE_LEVELS = (0.1, 0.3, 0.6)  # harder strikes are brighter
RING_S = 1.0  # longest tail that is taken off later hits
CLICK_S = 0.012  # of the burst at contact (`data.bounce.audio`)
CRACKLES_HZ = tuple(900 * (3400 / 900) ** (i / 7) for i in range(8))
CRACKLE_S = 0.008


@dataclass(frozen=True)
class Templates:
    """Band powers of all templates at unit level; `objects` is empty for those of the ambience."""

    objects: tuple[tuple[Object, ...], ...]
    waves_KS: np.ndarray
    powers_KWB: np.ndarray

    @property
    def num_objects(self) -> np.ndarray:
        return np.array([len(each) for each in self.objects])


@cache
def hit_templates() -> Templates:
    """Return the templates: single objects first, then pairs, then crackles."""
    count = round(RING_S * SAMPLE_RATE)
    noise = numpy_generator(0, "bounce-sound/click").uniform(-1, 1, count)
    burst_S = damped(0.0, CLICK_S, count, SAMPLE_RATE)[0] * noise
    singles = [(material, size) for material in MODES for size in SIZES]
    groups = [(each,) for each in singles] + list(combinations_with_replacement(singles, 2))
    objects, waves = [], []
    for level in STRIKE_LEVELS:
        alone = {each: strike(*each, level, count, SAMPLE_RATE) / level for each in singles}
        for group in groups:
            click = sum(MODES[material].click for material, _ in group) / len(group)
            objects.append(group)
            waves.append(sum(alone[each] for each in group) + click * burst_S)
    for hertz in CRACKLES_HZ:
        objects.append(())
        waves.append(damped(hertz, CRACKLE_S, count, SAMPLE_RATE)[1])
    waves_KS = np.stack(waves).astype(np.float32)
    return Templates(tuple(objects), waves_KS, np.stack([window_powers(wave, 0) for wave in waves]))
