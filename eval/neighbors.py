"""Files about the nearest reference video of each sample: a table, and an image of the most similar."""

import csv
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from eval.distribution.memorization import find_nearest
from eval.distribution.suite import FeatureSet
from eval.loaders.sample_sets import SampleSet
from eval.registry import Extraction
from eval.reports.contact_sheet import SheetRow, draw_sheet, sample_row
from eval.reports.samples import load_samples
from eval.scored_set import ScoredSet
from eval.set_rows import gather_features

HEADS = ("backbone", "system", "id", "nearest", "cosine", "authentic")


def write_neighbors(
    folder: Path,
    extractions: Iterable[Extraction],
    scored: tuple[ScoredSet, ScoredSet],
    samples: tuple[SampleSet, SampleSet],
    num_rows: int,
) -> None:
    """Write neighbors.csv, of each backbone the most similar first, and the first as neighbors.png.

    Args:
        scored: the generated samples and the reference; samples: their manifests.
        num_rows: pairs of each backbone in the image; 0 draws none.
    """
    rows, lines = list[SheetRow](), list[tuple[object, ...]]()
    for extraction in extractions:
        backbone = extraction.extractor.name
        found = _neighbors(extraction, *scored, folder)
        lines += [
            (backbone, *key, other, f"{cosine:.6f}", authentic) for key, other, cosine, authentic in found
        ]
        shown = found[:num_rows]
        others = {other for _, other, _, _ in shown}
        generated_samples = load_samples(samples[0], {each[0] for each in shown})
        reference_samples = {each.id: each for each in samples[1] if each.id in others}
        for key, other, cosine, authentic in shown:
            label = f"nearest by {backbone}, cosine {cosine:.3f}"
            why = "" if authentic else "nearer to the sample above than to any other one of the reference"
            rows.append(sample_row(generated_samples[key], samples[0].root, "generated"))
            rows.append(sample_row(reference_samples[other], samples[1].root, label, why))
    with (folder / "neighbors.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADS)
        writer.writerows(lines)
    if rows:
        sheet = draw_sheet(
            rows, "Nearest videos of the reference", "each sample and, below it, the nearest one"
        )
        sheet.save(folder / "neighbors.png")


def _neighbors(
    extraction: Extraction, generated: ScoredSet, reference: ScoredSet, folder: Path
) -> list[tuple[tuple[str, str], str, float, bool]]:
    """Return ((system, id), id of the nearest, cosine, authentic) of all samples, most similar first."""
    others, found = reference.cached[extraction.name].get("", []), []
    with TemporaryDirectory(prefix="rows-", dir=folder) as temporary:
        y = gather_features(extraction, others, Path(temporary) / "reference")
        for system, cached in generated.cached[extraction.name].items():
            if not cached or len(others) < 2:
                continue
            x = gather_features(extraction, cached, Path(temporary) / "generated")
            sets = (FeatureSet.of(each.features, each.videos, None) for each in (x, y))
            nearest = find_nearest(*sets)
            for i, each in enumerate(cached):
                other = others[int(nearest.index[i])].id
                found.append(((system, each.id), other, float(nearest.cosine[i]), bool(nearest.authentic[i])))
    return sorted(found, key=lambda each: -each[2])
