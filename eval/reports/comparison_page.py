"""A self-contained HTML page of several systems: leaderboard, and videos of the same sample side by side."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.core.manifest import Sample
from eval.core.results import Row
from eval.loaders.sample_sets import SampleSet, open_samples
from eval.reports.html_page import figure_html, page_start, tables_html
from eval.reports.plain_text import as_html
from eval.reports.samples import SampleResults, load_samples, read_results
from eval.reports.tables import Scores
from src.core.config import read_flat


@dataclass(frozen=True)
class SystemMedia:
    """The samples and results of one system by sample id; media are relative to `root`."""

    root: Path
    samples: dict[str, Sample]
    results: dict[str, SampleResults]


def load_media(folder: Path, system: str, scores: dict[str, Scores]) -> SystemMedia:
    """Load the samples and results of a system from an output folder of eval.run.

    Raises:
        ValueError: the folder has no config.yaml, or the manifest that it names is missing.
    """
    if not (folder / "config.yaml").is_file():
        raise ValueError(f"{folder} has no config.yaml")
    samples = _open(read_flat(folder / "config.yaml"))
    found = read_results(folder / "results.jsonl", scores)
    results = {each.key[1]: each for each in found if each.key[0] == system}
    found_samples = load_samples(samples, {(system, name) for name in results})
    return SystemMedia(samples.root, {key[1]: each for key, each in found_samples.items()}, results)


def _open(settings: dict[str, Any]) -> SampleSet:
    """Return the samples that a run of eval.run was about, from its config.yaml."""
    videos, reference, prompts = (str(settings.get(key) or "") for key in ("videos", "reference", "prompts"))
    if not videos:
        return open_samples(str(settings["manifest"]))
    return open_samples(videos, prompts=prompts, originals=reference)


def select_differing_first(media: dict[str, SystemMedia], num: int) -> list[str]:
    """Return ids of at most `num` samples that all systems have, those with different verdicts first."""
    first, *others = media.values()
    common = [name for name in first.samples if all(name in each.samples for each in others)]
    same = {
        name: all(each.results[name].verdicts == first.results[name].verdicts for each in others)
        for name in common
    }
    return sorted(common, key=same.__getitem__)[:num]


def write_comparison_page(
    path: Path, rows: list[Row], scores: dict[str, Scores], media: dict[str, SystemMedia], num: int
) -> None:
    """Write the page with the videos of `num` samples; it loads nothing from elsewhere."""
    parts = [page_start("Comparison"), tables_html(rows, scores)]
    parts.append("<h2>Samples</h2><p><small>samples with different verdicts first</small></p>")
    columns = f"grid-template-columns:repeat({len(media)},minmax(8rem,16rem));overflow-x:auto"
    for name in select_differing_first(media, num):
        parts.append(f'<div class=media style="{columns};margin-bottom:1rem">')
        for system, each in media.items():
            figure = figure_html(each.samples[name], each.results[name], each.root)
            parts.append(f"<div><small>{as_html(system)}</small>{figure}</div>")
        parts.append("</div>")
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")
