"""The model card of an exported video model: YAML header, how to load it, training data, scores."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from src.core import config as configs
from src.core.errors import UserError
from src.core.hashing import file_sha256
from src.core.markdown import markdown_table
from src.inference import run_defaults
from src.inference.config import ExportConfig
from src.parallel.safetensors_io import read_header
from src.parallel.weight_source import WeightSource
from src.runs.config import VideoRunConfig
from src.streaming.reader import Dataset

MAX_RECORDS = 2000  # whose licenses are read, spread evenly over a data set
UNKNOWN = "not stated"
ALL = "all"  # the slice of all samples in eval.run's results

BODY = """
# {name}

{about}

```python
from src.inference.hub_folder import load_pipeline
pipeline = load_pipeline("{name}")
frames = pipeline.generate(["A red star moves right."], seed=0)  # uint8 [prompt, frame, height, width, RGB]
```

Run it in a checkout of the code; `python -m src.generate run={name} prompt="..."` writes videos.

{files}

## Training data

{data}

## Scores

{scores}
"""


def read_scores(path: str) -> list[dict[str, Any]]:
    """Return the numbers of an evaluation over all samples.

    Args:
        path: the output folder of eval.run, or its summary.json.

    Raises:
        UserError: no such file, or another one.
    """
    file = Path(path) / "summary.json" if Path(path).is_dir() else Path(path)
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
        return [
            {"metric": row["metric"], "name": name, "system": row["system"], **interval}
            for row in rows
            for name, interval in row["intervals"].items()
            if row["slice"] == ALL
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"scores={path}: not the results of eval.run (summary.json with rows)") from error


def count_licenses(stage: VideoRunConfig) -> dict[str, Counter[str]]:
    """Return the number of records of each license, for every training data set that is on this machine."""
    found: dict[str, Counter[str]] = {}
    for name, stream in stage.data.streams.items():
        if run_defaults.has_dataset(stream):
            counts = found.setdefault(name, Counter())
            for reader in Dataset(stream.path, verify=False).readers.values():
                for index in range(0, len(reader), max(1, len(reader) // MAX_RECORDS)):
                    counts[str(reader[index].source.get("license", UNKNOWN))] += 1
    return found


def render(
    settings: ExportConfig, stage: VideoRunConfig, video: Path, tae: Path, scores: list[dict[str, Any]]
) -> str:
    """Return README.md of a folder.

    Args:
        video, tae: the exported files in it.
    """
    name = Path(settings.out or video.parent.parent).name
    licenses = count_licenses(stage)
    header: dict[str, Any] = {
        "license": settings.license or "other",
        "library_name": "moviegen",
        "pipeline_tag": "text-to-video",
        "tags": ["text-to-video", "flow-matching", "movie-gen"],
    }
    if scores:
        header["model-index"] = [{"name": name, "results": [_results(scores)]}]
    about = (
        f"A text-to-video model ({stage.transformer.depth} blocks of hidden size "
        f"{stage.transformer.hidden_size}, flow matching) and its temporal autoencoder."
    )
    rows = [(str(path.relative_to(video.parent.parent)), *_file_row(path)) for path in (video, tae)]
    body = BODY.format(
        name=name,
        about=about,
        files=markdown_table(["file", "values", "dtype", "step", "MB", "sha256"], rows),
        data=_data_text(settings, licenses, read_header(video).buckets),
        scores=_score_table(scores) if scores else "Not measured.",
    )
    return f"---\n{configs.tree_to_yaml(header)}---\n{body}"


def _file_row(path: Path) -> tuple[str, ...]:
    source, header = WeightSource(path, read_header(path).use), read_header(path)
    values = sum(source.shape(name).numel() for name in source)
    size = f"{path.stat().st_size / 1e6:.1f}"
    return f"{values:,}", header.dtype, f"{header.step:,}", size, f"`{file_sha256(path)}`"


def _data_text(settings: ExportConfig, licenses: dict[str, Counter[str]], buckets: tuple[str, ...]) -> str:
    lines = [f"License: {settings.data_license}." if settings.data_license else ""]
    if licenses:
        rows = [
            (stream, name, f"{count:,}")
            for stream, counts in licenses.items()
            for name, count in counts.most_common()
        ]
        table = markdown_table(["stream", "license of a record", "records read"], rows)
        lines.append(table)
    if not any(lines):
        lines.append(f"License: {UNKNOWN}.")
    lines.append(f"Frames x height x width: {', '.join(buckets)}." if buckets else "")
    return "\n\n".join(filter(None, lines))


def _results(scores: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "task": {"type": "text-to-video"},
        "dataset": {"name": "prompts of the evaluation", "type": "prompts"},
        "metrics": [
            {"type": each["metric"], "name": each["name"], "value": round(each["mean"], 6)} for each in scores
        ],
    }


def _score_table(scores: list[dict[str, Any]]) -> str:
    rows = [
        (each["metric"], each["name"], f"{each['mean']:.4g}", _interval(each), str(each.get("num", "")))
        for each in scores
    ]
    return markdown_table(["metric", "score", "mean", "95 % interval", "n"], rows)


def _interval(score: dict[str, Any]) -> str:
    low, high = score.get("low"), score.get("high")
    return "" if low is None or high is None else f"{low:.4g} to {high:.4g}"
