"""What a video model reads of its captions: how much its loss rises when one word of them is wrong.

    python -m src.train configs/studies/caption_sensitivity.yaml run=RUN

Loss gap: the relative rise of the training objective's loss, at fixed flow times and fixed noise, when the
caption of a validation film is replaced by one with a wrong word, or by an empty one. No film is generated
and nothing judges one. A model that does not read a word has a gap of zero for it, whatever its loss is.

Legend: B batch, C channels, T frames, H height, W width (of the latent).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from src.core.errors import UserError
from src.core.fields import opt
from src.runs import loading
from src.streaming.batch import LatentBatch
from src.streaming.datamodule import MediaData, StreamConfig
from src.studies.word_substitution import WordSubstitution
from src.training.callbacks.checkpoint import find
from src.training.config import Precision, Use
from src.training.modules.video import VideoModule, validation_noise
from src.training.precision import resolve

EMPTY = "empty"  # the row of captions that are taken away


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which model, on which films, with which words."""

    experiment: str = opt("word_gap", "kind of run")
    name: str = opt("word_gap", "what the measurement is called")
    run: str = opt("???", "run directory or checkpoint of a video model")
    use: Use = opt("ema", "weights: ema or raw")
    latents: str = opt("", "encoded data set to measure on; empty: the run's own validation data")
    out: str = opt("", "JSON to write; empty: RUN/word_gap.json")
    words: dict[str, list[str]] = opt(
        {}, "by kind: phrases that exclude each other; the first one in a caption is replaced by another"
    )
    times: tuple[float, ...] = opt((0.1, 0.3, 0.5, 0.7), "flow times (0: noise, 1: data)")
    frames: Literal["all", "videos", "images"] = opt("all", "which of the data: videos, images or all")
    number: int = opt(256, "films at most; 0: all")
    batch_size: int = opt(64, "films read together, where latents= names the data")
    precision: Precision = opt("fp32", "fp32 or bf16 (where the device has it)")

    def __post_init__(self) -> None:
        if not self.times or not all(0 <= t < 1 for t in self.times):
            raise ValueError(f"times must name flow times in [0, 1), got {list(self.times)}")
        if EMPTY in self.words:
            raise ValueError(f"words.{EMPTY}: this name is taken by the empty caption")
        for name, least in (("number", 0), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name, phrases in self.words.items():
            WordSubstitution(name, tuple(phrases))


@dataclass(frozen=True)
class Gap:
    """One number of the table: `gap` is wrong / right - 1, `error` its standard error over films.

    `num` films hold such a word, and `right` is the loss of these with their own captions.
    """

    words: str
    time: float
    num: int
    right: float
    wrong: float
    gap: float
    error: float


def run(config: Config) -> None:
    """Measure, print, write."""
    module, _ = loading.load_video(Path(config.run), config.use)
    module.precision_name = resolve(config.precision, module.device.type)
    gaps = measure(module, batches(config), config)
    path = Path(config.run)
    root = path.parent.parent if path.parent.name == "checkpoints" else path
    out = Path(config.out or root / "word_gap.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    record = {"run": config.run, "checkpoint": str(find(path)), "use": config.use, "words": config.words}
    record["gaps"] = [vars(gap) for gap in gaps]
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    console = Console(highlight=False)
    console.print(table(gaps, config.run))
    console.print(f"written: {out}", soft_wrap=True)


def batches(config: Config) -> Iterator[LatentBatch]:
    """Validation batches of the run, or of another data set.

    Raises:
        UserError: the run has no validation data and latents= names none.
    """
    from src.runs import video

    stage = loading.run_config(video.Config, Path(config.run))
    data = replace(stage.data, val_batches=0)
    if config.latents:
        path = Path(config.latents)
        path = path if (path / "dataset.json").is_file() else path / "val"
        stream = StreamConfig(path=str(path), batch_size=config.batch_size)
        data = replace(data, val={"given": stream}, streams=data.streams or {"given": stream})
    loader: Any = MediaData(data, seed=0, num_steps=1).val_dataloader()
    if not len(loader):
        raise UserError(f"run={config.run}: has no validation data; give latents=RUN_OF_LATENTS")
    return iter(loader)


@torch.no_grad()
def measure(module: VideoModule, found: Iterator[LatentBatch], config: Config) -> list[Gap]:
    """Gaps of every kind of words at every time, and last that of the empty caption.

    Raises:
        UserError: no films, or none of whose captions holds a word of some kind.
    """
    kinds = [WordSubstitution(name, tuple(phrases)) for name, phrases in config.words.items()]
    losses: dict[tuple[str, float], list[tuple[float, float]]] = {}
    count, example = 0, ""
    for batch in found:
        keep = _chosen(batch, config, count)
        if not keep:
            continue
        count, example = count + len(keep), example or batch.captions[keep[0]]
        x, known = _latents(module, batch, keep)
        captions = [batch.captions[i] for i in keep]
        ids = [batch.ids[i] for i in keep]
        texts = {kind.name: [kind(caption) for caption in captions] for kind in kinds}
        texts[EMPTY] = [""] * len(keep)
        for number, time in enumerate(config.times):
            noise = validation_noise(x, ids, number)
            right = _losses(module, x, noise, time, captions, known)
            for name, wrong in texts.items():
                rows = [i for i, text in enumerate(wrong) if text is not None]
                if rows:
                    part = None if known is None else known[rows]
                    changed = [wrong[i] or "" for i in rows]
                    values = _losses(module, x[rows], noise[rows], time, changed, part)
                    pairs = zip(right[rows].tolist(), values.tolist(), strict=True)
                    losses.setdefault((name, time), []).extend(pairs)
    if not count:
        raise UserError(f"frames={config.frames}: the validation data holds none")
    for kind in kinds:
        if (kind.name, config.times[0]) not in losses:
            raise UserError(
                f"words.{kind.name}: none of {count} captions holds one of {list(kind.phrases)}; "
                f"the first caption is {example!r}"
            )
    return [_gap(name, time, pairs) for (name, time), pairs in losses.items()]


def _chosen(batch: LatentBatch, config: Config, count: int) -> list[int]:
    """Places of a batch's films that are wanted."""
    kind = "images" if batch.bucket.startswith("1x") else "videos"
    if config.frames not in ("all", kind):
        return []
    keep = [i for i, real in enumerate(batch.real_B.tolist()) if real]
    return keep[: config.number - count] if config.number else keep


def _latents(module: VideoModule, batch: LatentBatch, keep: list[int]) -> tuple[Tensor, Tensor | None]:
    """Normalised latents and, for image-to-video, what is known of them: as in validation."""
    x = module.normalise(batch.mean_BCTHW.to(module.device))[keep]
    if not module.flow_config.first_frame:
        return x, None
    given = torch.ones(len(batch.ids), dtype=torch.bool, device=module.device)
    return x, module.known_of(batch, given)[keep]


def _losses(
    module: VideoModule, x: Tensor, noise: Tensor, time: float, captions: list[str], known: Tensor | None
) -> Tensor:
    t_B = torch.full((len(x),), time, device=x.device)
    return module.loss_at(x, noise, t_B, module.condition.read(captions), known)


def _gap(name: str, time: float, pairs: list[tuple[float, float]]) -> Gap:
    right, wrong = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    mean = float(right.mean())
    error = float((wrong - right).std()) / len(pairs) ** 0.5 / mean if len(pairs) > 1 else float("nan")
    return Gap(name, time, len(pairs), mean, float(wrong.mean()), float(wrong.mean()) / mean - 1, error)


def table(gaps: list[Gap], title: str) -> Table:
    """A row for each kind of words (n films hold one), a column for each time: gap ± standard error, %."""
    times = list(dict.fromkeys(gap.time for gap in gaps))
    made = Table("wrong", "n", *(f"t = {t:g}" for t in times), title=f"{title}: rise of the loss, %")
    for name in dict.fromkeys(gap.words for gap in gaps):
        own = {gap.time: gap for gap in gaps if gap.words == name}
        cells = [f"{100 * own[t].gap:+.1f} ±{100 * own[t].error:.1f}" for t in times]
        made.add_row(name, str(own[times[0]].num), *cells)
    return made
