"""Prompt lists of published benchmarks, read from the user's own copy; this repository contains none of them.

Movie Gen Video Bench (txt, or csv with tags) and Movie Gen Audio Bench (jsonl) are CC-BY-NC 4.0; VBench's
full information is a JSON list. Ids are indices or come from the file, never from a prompt.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from eval.core.manifest import Sample
from eval.loaders.media_files import open_text, read_csv_rows
from src.core.rng import numpy_generator

MINI_SIZE = 381  # prompts of the ablations in Movie Gen, whose list is not published


def load_movie_gen_video_bench(path: str | Path) -> list[Sample]:
    """Load the file with one prompt a line (txt), or with columns prompt, concept, motion_level (csv).

    Ids are the 0-based indices in the file, `0000` to `1002`, the same for both files. Prompts are stripped.
    Concepts are split at commas, without repetitions; tags are `concept: X` and `motion: X`. A repeated
    prompt gets an id of its own and the tag `duplicate`.

    Raises:
        ValueError: `PATH:LINE: reason`, for an empty prompt or an unexpected header.
    """
    path = Path(path)
    rows = _read_tagged(path) if path.suffix.lower() == ".csv" else _read_plain(path)
    seen, samples = set[str](), []
    for index, (line, prompt, tags) in enumerate(rows):
        prompt = prompt.strip()
        if not prompt:
            raise ValueError(f"{path}:{line}: the prompt is empty")
        if prompt in seen:
            tags = (*tags, "duplicate")
        seen.add(prompt)
        samples.append(Sample(id=f"{index:04d}", prompt=prompt, tags=tags))
    if not samples:
        raise ValueError(f"{path}: contains no prompts")
    return samples


def _read_plain(path: Path) -> list[tuple[int, str, tuple[str, ...]]]:
    with open_text(path) as file:
        lines = file.read().split("\n")
    if lines and not lines[-1].strip():
        lines.pop()
    return [(number, line, ()) for number, line in enumerate(lines, 1)]


def _read_tagged(path: Path) -> list[tuple[int, str, tuple[str, ...]]]:
    with open_text(path) as file:
        lines = read_csv_rows(path, file)
        expected = ["prompt", "concept", "motion_level"]
        header = [name.strip() for name in next(lines, (1, []))[1]]
        if header != expected:
            raise ValueError(f"{path}:1: expected the columns {', '.join(expected)}, got {header}")
        rows = []
        for line, cells in lines:
            if len(cells) != len(expected):
                raise ValueError(f"{path}:{line}: expected {len(expected)} cells, got {len(cells)}")
            prompt, concept, motion = cells
            concepts = sorted({part.strip() for part in concept.split(",")} - {""})
            tags = [f"concept: {each}" for each in concepts]
            rows.append((line, prompt, (*tags, *([f"motion: {motion.strip()}"] * bool(motion.strip())))))
        return rows


def load_movie_gen_audio_bench(path: str | Path, prompt: str = "audio_prompt") -> list[Sample]:
    """Load lines {id, video_prompt, audio_prompt[, music_prompt]}, with the prompt of key `prompt`.

    Ids are the file's own numbers, which have gaps, so they are not indices.
    """
    path, samples, seen = Path(path), [], set[str]()
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                text, name = record[prompt], str(int(record["id"]))
            except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
                reason = f"{type(error).__name__}: {error}"
                raise ValueError(f"{path}:{number}: expected id and {prompt} ({reason})") from None
            if name in seen:
                raise ValueError(f"{path}:{number}: id {name} occurs twice")
            seen.add(name)
            samples.append(Sample(id=name, prompt=text.strip()))
    if not samples:
        raise ValueError(f"{path}: contains no prompts")
    return samples


def load_vbench(path: str | Path) -> list[Sample]:
    """Load VBench's full info, [{prompt_en, dimension: [...]}, ...], or a txt with one prompt a line."""
    path = Path(path)
    if path.suffix.lower() == ".txt":
        return [
            Sample(id=f"{index:04d}", prompt=line.strip())
            for index, (_, line, _) in enumerate(_read_plain(path))
            if line.strip()
        ]
    with open_text(path) as file:
        try:
            entries = json.load(file)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: not JSON ({error.msg} at line {error.lineno})") from None
    samples = []
    for index, entry in enumerate(entries if isinstance(entries, list) else [entries]):
        if not isinstance(entry, dict) or not isinstance(entry.get("prompt_en"), str):
            raise ValueError(f"{path}: entry {index}: expected an object with prompt_en")
        tags = tuple(f"dimension: {name}" for name in entry.get("dimension", ()))
        samples.append(Sample(id=f"{index:04d}", prompt=entry["prompt_en"].strip(), tags=tags))
    return samples


def stratified_subset(samples: Sequence[Sample], *, num: int = MINI_SIZE, seed: int = 0) -> list[Sample]:
    """Return a stratified, seeded subset in the original order.

    A stratum is a set of tags (concepts with motion level). Sizes are proportional, rounded by the largest
    remainder method; duplicates of a prompt are left out first.

    Raises:
        ValueError: there are fewer than `num` different prompts.
    """
    single = [each for each in samples if "duplicate" not in each.tags]
    if len(single) < num:
        raise ValueError(f"num: {num} exceeds the {len(single)} different prompts")
    strata = defaultdict(list)
    for index, sample in enumerate(single):
        strata[tuple(sorted(sample.tags))].append(index)
    names = sorted(strata)
    exact = {name: num * len(strata[name]) / len(single) for name in names}
    counts = {name: int(exact[name]) for name in names}
    ties = dict(zip(names, numpy_generator(seed, "bench-mini/ties").permutation(len(names)), strict=True))
    by_rest = sorted(names, key=lambda name: (counts[name] - exact[name], ties[name]))
    for name in by_rest[: num - sum(counts.values())]:
        counts[name] += 1
    picked = []
    for index, name in enumerate(names):
        order = numpy_generator(seed, "bench-mini", index).permutation(len(strata[name]))
        picked += [strata[name][i] for i in order[: counts[name]]]
    return [single[index] for index in sorted(picked)]
