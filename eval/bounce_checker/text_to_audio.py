"""Score audio against what its text names: `python -m eval.bounce_checker.text_to_audio model=DIR`.

    python -m data.bounce.audio_prompts out=prompts.jsonl num_prompts=200
    python -m src.generate run=runs/audio/tiny prompts=prompts.jsonl out=runs/audio/tiny/t2a
    python -m eval.bounce_checker.text_to_audio model=runs/audio/tiny/t2a

The facts of the prompts say which materials, sizes, ambience, instrument and tempo the text names; no model
was trained on their combinations. The checker reads each from the audio. Rows: every word of every kind, each
kind, and all kinds together, with Wilson's 95 % intervals; a column for the model, one for the model's audio
of the next prompt (shuffled), and one for the audio that the facts describe.

Without `model` the checker itself is validated: prompts are drawn, their audio is rendered and degraded.
`codec=DIR`, a folder of `src.reconstruct manifests=true`, adds audio that passed a codec.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from data.bounce.audio import render_audio
from data.bounce.audio_prompts import AudioPromptsConfig, make_audio_prompts
from data.bounce.facts import VideoFacts
from data.bounce.music_vocabulary import PARTS
from eval.bounce_checker.audio import analyze_audio
from eval.bounce_checker.audio_degradations import DEGRADATIONS
from eval.bounce_checker.audio_reading import AudioReading
from eval.bounce_checker.audio_spectra import SAMPLE_RATE
from eval.bounce_checker.audio_trials import score_audio
from eval.bounce_checker.config import AudioCheckerConfig
from eval.core.audio import Audio, read_audio
from eval.core.intervals import wilson_bounds
from eval.core.manifest import Sample, read_manifest
from src.core.atomic import atomic_write
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.markdown import markdown_table
from src.core.progress import progress

KINDS = ("material", "size", "ambience", "instrument", "tempo")
MUSIC_KINDS = {"instrument": "instrument", "tempo": "tempo_bpm"}
MIN_ALL, MIN_ROW, MIN_TRUTH = 0.90, 0.85, 0.99  # what a good model and a good checker reach


@dataclass(frozen=True, kw_only=True)
class TextToAudioConfig(Config):
    """Settings of `eval.bounce_checker.text_to_audio`."""

    model: str = opt("", "folder of audio generated for prompts with facts: manifest.jsonl")
    codec: str = opt("", "folder of a codec's reconstructions of audio with facts: manifest.jsonl")
    id_prefix: str = opt("", "only samples whose id begins so")
    truth: bool = opt(True, "model: also read the audio that the facts describe")
    num_prompts: int = opt(200, "without model: prompts whose audio is rendered", ge=1)
    seed: int = opt(1, "without model: seed of the prompts")
    parts: tuple[str, ...] = opt(PARTS, "without model: parts of the audio", choices=PARTS)
    degradations: tuple[str, ...] = opt(
        tuple(name for name in DEGRADATIONS if name != "silence"),
        "without model: degradations by name",
        choices=tuple(DEGRADATIONS),
    )
    checker: AudioCheckerConfig = opt(AudioCheckerConfig(), "tolerances")
    out: str = opt("", "Markdown file; empty: text_to_audio.md in the folder of `model`")


@dataclass(frozen=True)
class Named:
    """One word that the text names, such as ("material", "metal"), and whether it was heard."""

    kind: str
    word: str
    is_right: bool


def read_words(reading: AudioReading, facts: dict[str, Any], settings: AudioCheckerConfig) -> list[Named]:
    """Return every word that the text names with whether the reading has it.

    Materials and sizes are right if those of the whole track are exactly the facts'; each material and size
    that sounds is a word.
    """
    trial = score_audio(reading, facts, settings)
    found: list[Named] = []
    heard = {i for impact in facts["impacts"] for i in impact["objects"]}
    for kind in ("material", "size"):
        if kind in trial.objects:
            words = sorted({facts["objects"][i][kind] for i in heard})
            found += [Named(kind, word, bool(trial.objects[kind])) for word in words]
    if trial.background_right is not None:
        found.append(Named("ambience", facts["background"], trial.background_right))
    for kind, field in MUSIC_KINDS.items():
        if field in trial.music:
            found.append(Named(kind, str(facts["audio"]["music"][field]), bool(trial.music[field])))
    return found


def rows_of(columns: dict[str, list[Named]]) -> list[list[str]]:
    """Return a row for all kinds, for each kind and for each word: the fraction that was heard, by column."""
    first = next(iter(columns.values()))
    rows = [["all", "", str(len(first)), *(_fraction(each) for each in columns.values())]]
    for kind in KINDS:
        words = sorted({each.word for each in first if each.kind == kind})
        for word in ["", *words] if words else []:
            chosen = [[n for n in c if n.kind == kind and word in ("", n.word)] for c in columns.values()]
            rows.append([kind, word, str(len(chosen[0])), *(_fraction(each) for each in chosen)])
    return rows


def _fraction(named: Sequence[Named]) -> str:
    if not named:
        return "-"
    right = sum(each.is_right for each in named)
    low, high = wilson_bounds(right, len(named))
    return f"{100 * right / len(named):.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def score_model(config: TextToAudioConfig) -> str:
    """Return the table of generated audio.

    Raises:
        UserError: a manifest without audio or facts.
    """
    samples = list(_samples(Path(config.model), config.id_prefix))
    readings, truths = [], []
    with progress("audio", len(samples) * (1 + config.truth)) as done:
        for sample in samples:
            readings.append(analyze_audio(read_audio(Path(config.model) / str(sample.audio))))
            done(1)
            if config.truth:
                truths.append(_read_truth(sample.facts or {}, "none"))
                done(1)
    facts = [sample.facts or {} for sample in samples]
    columns = {"model": _all_words(readings, facts, config)}
    columns["shuffled"] = _all_words([*readings[1:], *readings[:1]], facts, config)
    if config.truth:
        columns["truth"] = _all_words(truths, facts, config)
    heads = ("kind", "word", "named", *(f"{name}, % heard [95 %]" for name in columns))
    verdict = f"a model that follows its text: all at least {MIN_ALL:.0%}, no row below {MIN_ROW:.0%}"
    return f"{len(samples)} prompts of {config.model}; {verdict}\n\n{markdown_table(heads, rows_of(columns))}"


def validate_checker(config: TextToAudioConfig) -> str:
    """Return the table of rendered truth, degraded."""
    settings = AudioPromptsConfig(num_prompts=config.num_prompts, seed=config.seed, parts=config.parts)
    facts = [entry["facts"] for entry in make_audio_prompts(settings)]
    columns = {}
    with progress("audio", len(facts) * len(config.degradations)) as done:
        for name in config.degradations:
            readings = []
            for each in facts:
                readings.append(_read_truth(each, name))
                done(1)
            columns[name] = _all_words(readings, facts, config)
    title = f"{len(facts)} prompts, rendered; the checker hears at least {MIN_TRUTH:.0%} of undegraded truth"
    return f"{title}\n\n{_by_degradation(columns)}"


def validate_codec(config: TextToAudioConfig) -> str:
    """Return the table of truth, and of truth that passed a codec."""
    folder = Path(config.codec)
    samples = list(_samples(folder, config.id_prefix))
    facts = [sample.facts or {} for sample in samples]
    columns = {}
    for name, key in (("none", "reference"), ("codec", "audio")):
        files = [getattr(sample, key) for sample in samples]
        if None in files:
            raise UserError(f"{folder}: a sample has no `{key}`; reconstruct with manifests=true")
        columns[name] = _all_words([analyze_audio(read_audio(folder / f)) for f in files], facts, config)
    return f"{len(samples)} tracks of {folder}\n\n{_by_degradation(columns)}"


def _by_degradation(columns: dict[str, list[Named]]) -> str:
    rows = []
    for name, named in columns.items():
        kinds = [[each for each in named if each.kind == kind] for kind in KINDS]
        rows.append([name, str(len(named)), _fraction(named), *(_fraction(each) for each in kinds)])
    return markdown_table(("truth", "words", "all, % heard [95 %]", *KINDS), rows)


def _read_truth(facts: dict[str, Any], degradation: str) -> AudioReading:
    samples_S = DEGRADATIONS[degradation].apply(render_audio(VideoFacts.from_dict(facts))[0])
    return analyze_audio(Audio(np.asarray(samples_S, np.float32)[None], SAMPLE_RATE))


def _all_words(
    readings: Sequence[AudioReading], facts: Sequence[dict[str, Any]], config: TextToAudioConfig
) -> list[Named]:
    pairs = zip(readings, facts, strict=True)
    return [word for reading, each in pairs for word in read_words(reading, each, config.checker)]


def _samples(folder: Path, id_prefix: str) -> Iterator[Sample]:
    try:
        samples = [s for s in read_manifest(folder / "manifest.jsonl") if s.id.startswith(id_prefix)]
    except ValueError as error:
        raise UserError(str(error)) from error
    if not samples:
        raise UserError(f"{folder}: no samples with id_prefix={id_prefix!r}")
    for sample in samples:
        if sample.facts is None or sample.audio is None:
            raise UserError(f"{folder}: {sample.id} has no facts or no audio; see data.bounce.audio_prompts")
        yield sample


def main(argv: list[str]) -> None:
    """Print the table and write it."""
    config = from_command_line(TextToAudioConfig, argv, __doc__)
    if config is None:
        return
    if config.model:
        text = score_model(config)
    else:
        text = validate_codec(config) if config.codec else validate_checker(config)
    Console(highlight=False).print(text, soft_wrap=True, markup=False)
    out = config.out or (str(Path(config.model) / "text_to_audio.md") if config.model else "")
    if out:
        with atomic_write(Path(out)) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main))
