"""Tables of audio trials: by degradation, background, material and gap to the next impact."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from eval.bounce_checker.audio import pooled_scores
from eval.bounce_checker.audio_trials import GAPS_S, AudioTrial, ImpactTrial
from eval.bounce_checker.config import AudioCheckerConfig
from eval.core.intervals import wilson_bounds

COLUMNS = {
    "hit_f1": "F1 of hits",
    "hit_f1_fine": "finer",
    "hit_material": "materials of hits",
    "hit_size": "and sizes",
    "false_hits": "false hits",
    "text_material": "materials of track",
    "text_size": "and sizes",
    "music_instrument": "instrument",
    "music_tempo_bpm": "tempo",
    "music_key": "key",
    "music_mood": "mood",
}
HEADS = ("audio", "tracks", "impacts", *COLUMNS.values(), "background")
SLICE_HEADS = ("impacts", "n", "hit", "within the finer tolerance", "materials", "and sizes")


def pool(trials: Iterable[AudioTrial], settings: AudioCheckerConfig) -> dict[str, tuple[float, float]]:
    """Return numerators and denominators, summed over tracks."""
    sums: dict[str, tuple[float, float]] = {}
    for trial in trials:
        for name, (top, bottom) in pooled_scores(trial, settings).items():
            before = sums.get(name, (0.0, 0.0))
            sums[name] = (before[0] + top, before[1] + bottom)
    return sums


def track_row(name: str, trials: Sequence[AudioTrial], settings: AudioCheckerConfig) -> list[str]:
    """Return one row of the table of tracks: scores in per cent, false hits per track without impacts."""
    sums = pool(trials, settings)
    cells = []
    for key in COLUMNS:
        top, bottom = sums.get(key, (0.0, 0.0))
        scale, form = (1.0, ".3f") if key == "false_hits" else (100.0, ".1f")
        cells.append(f"{scale * top / bottom:{form}}" if bottom else "–")
    right = [each.background_right for each in trials if each.background_right is not None]
    background = f"{100 * np.mean(right):.1f}" if right else "–"
    return [name, str(len(trials)), str(sum(len(each.impacts) for each in trials)), *cells, background]


def slice_rows(trials: Sequence[AudioTrial], settings: AudioCheckerConfig) -> list[list[str]]:
    """Return a row for each background, material and gap: per cent, Wilson's 95 % interval of the first."""
    impacts = [(trial.background, impact) for trial in trials for impact in trial.impacts]
    groups: list[tuple[str, Callable[[str, ImpactTrial], bool]]] = []
    for background in sorted({background for background, _ in impacts}):
        groups.append((f"over {background}", lambda b, _, name=background: b == name))
    for kind in sorted({impact.kind for _, impact in impacts}):
        groups.append((kind, lambda _, i, name=kind: i.kind == name))
    for low, high in zip((0.0, *GAPS_S), (*GAPS_S, np.inf), strict=True):
        text = f"{low:g} s or more to the next" if high == np.inf else f"{low:g} to {high:g} s to the next"
        groups.append((text, lambda _, i, a=low, b=high: a <= i.gap_s < b))
    rows = []
    for name, belongs in groups:
        chosen = [impact for background, impact in impacts if belongs(background, impact)]
        if chosen:
            rows.append(_slice_row(name, chosen, settings))
    return rows


def _slice_row(name: str, impacts: list[ImpactTrial], settings: AudioCheckerConfig) -> list[str]:
    hit = [each for each in impacts if each.lag_s is not None]
    finely = [each for each in hit if abs(each.lag_s or 0.0) <= settings.fine_tolerance_s]
    low, high = wilson_bounds(len(hit), len(impacts))
    cells = [f"{100 * len(hit) / len(impacts):.1f} [{100 * low:.1f}, {100 * high:.1f}]"]
    cells.append(f"{100 * len(finely) / len(impacts):.1f}")
    for right in ([each.material_right for each in hit], [each.size_right for each in hit]):
        cells.append(f"{100 * np.mean(right):.1f}" if right else "–")
    return [name, str(len(impacts)), *cells]
