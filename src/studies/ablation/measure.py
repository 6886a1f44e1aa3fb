"""What is measured of a claim's arm after training: by commands of this project, each done once.

Films are made and read by `src.generate`, `src.reconstruct` and `eval.run`, in processes of their own; all
that is known here of `eval` is its command and its files. Numbers: RUN/measured/CHECKPOINT/numbers.json.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from src.core.errors import UserError
from src.core.fields import opt
from src.runs import steps

NUMBERS = "numbers.json"


@dataclass(frozen=True, kw_only=True)
class MeasureConfig:
    """Measurements of the arms; what is not given is not measured."""

    prompts: str = opt("", "prompts with facts that video arms make films of, for the Bounce checker")
    generate: str = opt("", "config of src.generate for these films")
    films: dict[str, Any] = opt({}, "settings of src.generate, such as batch_size")
    data: dict[str, str] = opt({}, "data sets of pixels that autoencoder arms reconstruct, by name")
    clips: int = opt(0, "clips of each bucket of them; 0: all")
    backbones: tuple[str, ...] = opt(
        ("efflite0",), "backbones of eval.run for distances between reconstructed and real films; empty: none"
    )
    norms: int = opt(64, "films of each data set whose latents are looked at for outliers; 0: none")

    def check(self) -> None:
        """Raise UserError for what is missing, before anything is trained."""
        if self.prompts and not Path(self.prompts).is_file():
            raise UserError(
                f"measure.prompts={self.prompts}: no such file; python -m data.bounce.prompts makes one"
            )
        for name, path in self.data.items():
            if not (Path(path) / "dataset.json").is_file():
                raise UserError(f"measure.data.{name}={path}: no data set; python -m data.prepare makes one")


def folder_of(checkpoint: Path) -> Path:
    """Where the measurements of a checkpoint are."""
    return checkpoint.parent.parent / "measured" / checkpoint.stem


def numbers_of(checkpoint: Path) -> dict[str, float]:
    """What was measured of a checkpoint; empty if nothing was."""
    path = folder_of(checkpoint) / NUMBERS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def video_model(config: MeasureConfig, checkpoint: Path, films: dict[str, Any]) -> None:
    """The checker's `subject` and `motion` (shares of the films that are right) on the prompts."""
    if not config.prompts:
        return
    out = folder_of(checkpoint)
    words = [steps.MODULES["generate"], *([config.generate] if config.generate else [])]
    words += [f"run={checkpoint}", f"prompts={config.prompts}", f"out={out / 'films'}"]
    _once(out, "films", words + steps.to_overrides(config.films | films))
    scored = [f"manifest={out / 'films' / 'manifest.jsonl'}", f"out={out / 'scores'}"]
    _once(out, "scores", [steps.MODULES["score"], *scored, "metrics=[bounce]", "html_films=0"])
    found = _scores(out / "scores", "bounce")
    _write(out, {name: found[name] for name in ("subject", "motion")})


def autoencoder(config: MeasureConfig, checkpoint: Path) -> None:
    """PSNR, SSIM, distances of features, and outliers of the latent, on every data set."""
    out, numbers = folder_of(checkpoint), dict[str, float]()
    for name, data in config.data.items():
        films = out / name / "films"
        words = [f"run={checkpoint}", f"data={data}", f"clips={config.clips}", f"out={films}"]
        words += ["manifests=true", "crf=0"]  # nothing is to be lost twice
        _once(out, f"{name}-films", [steps.MODULES["reconstruct"], *words])
        found = pixel_scores(films / "scores.csv")
        if config.backbones and (films / "manifest.jsonl").is_file():
            given = f"manifest={films / 'manifest.jsonl'}", f"reference={films / 'originals.jsonl'}"
            words = [*given, f"out={out / name / 'scores'}", "metrics=[]", "html_films=0", "sheet_rows=0"]
            words.append(f"backbones=[{','.join(config.backbones)}]")
            _once(out, f"{name}-scores", [steps.MODULES["score"], *words])
            distances = _scores(out / name / "scores", "distribution_")
            found |= {k: v for k, v in distances.items() if k.startswith(("fd_", "kid_"))}
        if config.norms:
            words = ["configs/studies/latent_outliers.yaml", f"tae={checkpoint}", f"data={data}"]
            words += [f"out={out / name / 'norms'}", f"number={config.norms}"]
            _once(out, f"{name}-norms", [steps.MODULES["train"], *words])
            norms = json.loads((out / name / "norms" / "latent_norms.json").read_text())
            found |= {f"beyond {r}": share for r, share in norms["beyond"].items()}
        numbers |= {f"{name} {key}": value for key, value in found.items()}
    if numbers:
        _write(out, numbers)


def pixel_scores(path: Path) -> dict[str, float]:
    """Means over frames from `scores.csv` of src.reconstruct, films and pictures apart."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    frames: dict[str, int] = {}
    for row in rows:
        frames[row["film"]] = frames.get(row["film"], 0) + 1
    found: dict[str, float] = {}
    for kind in ("video", "image"):
        own = [row for row in rows if (frames[row["film"]] > 1) == (kind == "video")]
        for name in ("psnr", "ssim") if own else ():
            found[f"{kind} {name}"] = fmean(float(row[name]) for row in own)
    return found


def _once(out: Path, step: str, words: list[str]) -> None:
    steps.run_once(out / "steps" / f"{step}.json", f"measurement {step} of {out.parent.parent}", words, out)


def _scores(folder: Path, metric: str) -> dict[str, float]:
    """Means over the whole set from the records of eval.run, of metrics whose names begin so."""
    lines = (folder / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    found = [record for record in map(json.loads, lines) if record["slice"] == "all"]
    return {r["score"]: r["mean"] for r in found if r["metric"].startswith(metric)}


def _write(out: Path, numbers: dict[str, float]) -> None:
    (out / NUMBERS).write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
