"""Caption sensitivity: how much a video model's loss rises when one word of its captions is wrong.

    python -m src.train configs/studies/caption_sensitivity.yaml run=RUN

Sensitivity is the relative rise of the training loss, at fixed flow times and fixed noise, when the caption
of a validation sample is replaced by one with a wrong word, or by the empty one. No video is generated, and
no metric is involved. A model that ignores a word has sensitivity zero to it, at any loss.

Legend: B batch, C channels, T frames, H height, W width (of the latent).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from src.core.errors import UserError
from src.runs import loading
from src.runs.config import VideoRunConfig
from src.streaming.batch import LatentBatch
from src.streaming.config import StreamConfig
from src.streaming.media_loaders import MediaLoaders
from src.studies.config import EMPTY_CAPTION, CaptionSensitivityConfig
from src.studies.word_substitution import WordSubstitution
from src.training.checkpoint_paths import find_checkpoint
from src.training.modules.flow_model import validation_noise
from src.training.modules.video_model import VideoModel
from src.training.precision import resolve


@dataclass(frozen=True)
class Sensitivity:
    """One cell of the table.

    `num_samples` samples have such a word in their caption; `loss` is their mean loss with their own
    captions, `changed_loss` with the changed ones. `sensitivity` is changed_loss / loss - 1, and
    `standard_error` its standard error over samples.
    """

    words: str
    time: float
    num_samples: int
    loss: float
    changed_loss: float
    sensitivity: float
    standard_error: float


def run(config: CaptionSensitivityConfig) -> None:
    """Measure, print and write the sensitivities."""
    run_path = Path(config.run)
    model, _ = loading.load_video(run_path, config.use)
    model.precision_name = resolve(config.precision, model.device.type)
    sensitivities = measure(model, validation_batches(config), config)
    out = Path(config.out or loading.run_folder(run_path) / "caption_sensitivity.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "run": config.run,
        "checkpoint": str(find_checkpoint(run_path)),
        "use": config.use,
        "words": config.words,
        "sensitivities": [vars(each) for each in sensitivities],
    }
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    console = Console(highlight=False)
    console.print(
        f"{config.run}: rise of the loss, %", soft_wrap=True
    )  # a table's title would wrap a long path
    console.print(sensitivity_table(sensitivities))
    console.print(f"written: {out}", soft_wrap=True)


def validation_batches(config: CaptionSensitivityConfig) -> Iterator[LatentBatch]:
    """Return validation batches of the run, or of `latents`.

    Raises:
        UserError: the run has no validation data and `latents` is empty.
    """
    stage = loading.load_run_config(VideoRunConfig, Path(config.run))
    data = replace(stage.data, val_batches=0)
    if config.latents:
        path = Path(config.latents)
        path = path if (path / "dataset.json").is_file() else path / "val"
        stream = StreamConfig(path=str(path), batch_size=config.batch_size)
        data = replace(data, val={"given": stream}, streams=data.streams or {"given": stream})
    loader: Any = MediaLoaders(data, seed=0, num_steps=1).val_dataloader()
    if not len(loader):
        raise UserError(f"run={config.run}: has no validation data; give latents=ENCODED_DATA_SET")
    return iter(loader)


@torch.no_grad()
def measure(
    model: VideoModel, batches: Iterator[LatentBatch], config: CaptionSensitivityConfig
) -> list[Sensitivity]:
    """Return the sensitivity to every kind of words at every time, the empty caption's last.

    Raises:
        UserError: no samples, or no caption with a word of some kind.
    """
    kinds = [WordSubstitution(name, tuple(phrases)) for name, phrases in config.words.items()]
    losses: dict[tuple[str, float], list[tuple[float, float]]] = {}
    count, first_caption = 0, ""
    for batch in batches:
        indices = _selected_indices(batch, config, count)
        if not indices:
            continue
        count, first_caption = count + len(indices), first_caption or batch.captions[indices[0]]
        x, cond = _latents(model, batch, indices)
        captions = [batch.captions[i] for i in indices]
        ids = [batch.ids[i] for i in indices]
        changed = {kind.name: [kind(caption) for caption in captions] for kind in kinds}
        changed[EMPTY_CAPTION] = [""] * len(indices)
        for time_index, time in enumerate(config.times):
            noise = validation_noise(x, ids, time_index)
            right_B = _losses(model, x, noise, time, captions, cond)
            for name, texts in changed.items():
                rows = [i for i, text in enumerate(texts) if text is not None]
                if rows:
                    rows_cond = None if cond is None else cond[rows]
                    wrong_captions = [texts[i] or "" for i in rows]
                    wrong_B = _losses(model, x[rows], noise[rows], time, wrong_captions, rows_cond)
                    pairs = zip(right_B[rows].tolist(), wrong_B.tolist(), strict=True)
                    losses.setdefault((name, time), []).extend(pairs)
    if not count:
        raise UserError(f"media={config.media}: the validation data has none")
    for kind in kinds:
        if (kind.name, config.times[0]) not in losses:
            raise UserError(
                f"words.{kind.name}: none of {count} captions contains any of {list(kind.phrases)}; "
                f"the first caption is {first_caption!r}"
            )
    return [_sensitivity(name, time, pairs) for (name, time), pairs in losses.items()]


def _selected_indices(batch: LatentBatch, config: CaptionSensitivityConfig, count: int) -> list[int]:
    """Return the indices of the batch's real samples to measure, `count` of which are measured already."""
    kind = "images" if batch.bucket.startswith("1x") else "videos"
    if config.media not in ("all", kind):
        return []
    indices = [i for i, real in enumerate(batch.real_B.tolist()) if real]
    return indices[: config.num_samples - count] if config.num_samples else indices


def _latents(model: VideoModel, batch: LatentBatch, indices: list[int]) -> tuple[Tensor, Tensor | None]:
    """Return normalized latents and, for image-to-video, their conditioning, as in validation."""
    assert isinstance(batch.mean_BCTHW, Tensor), "validation batches are not packed"
    x = model.normalize(batch.mean_BCTHW.to(model.device))[indices]
    if not model.flow.first_frame_prob:
        return x, None
    has_frame_B = torch.ones(len(batch.ids), dtype=torch.bool, device=model.device)
    return x, model.batch_frame_condition(batch, has_frame_B)[indices]


def _losses(
    model: VideoModel, x: Tensor, noise: Tensor, time: float, captions: list[str], cond: Tensor | None
) -> Tensor:
    t_B = torch.full((len(x),), time, device=x.device)
    return model.velocity_loss(x, noise, t_B, model.conditioning.from_prompts(captions), cond)


def _sensitivity(name: str, time: float, pairs: list[tuple[float, float]]) -> Sensitivity:
    right, wrong = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    mean = float(right.mean())
    # Standard error of the paired differences: the two losses of one sample share its noise.
    error = float((wrong - right).std()) / len(pairs) ** 0.5 / mean if len(pairs) > 1 else float("nan")
    return Sensitivity(
        name, time, len(pairs), mean, float(wrong.mean()), float(wrong.mean()) / mean - 1, error
    )


def sensitivity_table(sensitivities: list[Sensitivity]) -> Table:
    """Return a table of sensitivity ± standard error in percent: rows are kinds of words, columns times."""
    times = list(dict.fromkeys(each.time for each in sensitivities))
    table = Table("wrong", "n", *(f"t = {t:g}" for t in times))
    for name in dict.fromkeys(each.words for each in sensitivities):
        by_time = {each.time: each for each in sensitivities if each.words == name}
        cells = [f"{100 * by_time[t].sensitivity:+.1f} ±{100 * by_time[t].standard_error:.1f}" for t in times]
        table.add_row(name, str(by_time[times[0]].num_samples), *cells)
    return table
