"""Write a prepared set's clips as files, with a manifest for `eval.run` and a sheet to look at.

    python -m data.vizdoom.export data=datasets/vizdoom_debug/val out=runs/vizdoom_debug

OUT/manifest.jsonl, OUT/ID.mp4 (video with its audio), OUT/ID.wav, and OUT/sheet.png: frames, spectrogram and
events of the first clips.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.core import cli, config
from src.core.atomic import atomic_write
from src.core.errors import UserError
from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class ExportConfig(Config):
    """Settings of `data.vizdoom.export`."""

    data: str = opt("", "one split of a prepared set, such as datasets/vizdoom_debug/val")
    out: str = opt("", "folder to write")
    num_clips: int = opt(0, "clips at most; 0 takes all", ge=0)
    videos: bool = opt(True, "write videos; else audio only, which the checker needs")
    sheet_rows: int = opt(8, "clips on the sheet; 0 draws none", ge=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("data", "out"):
            if not getattr(self, name):
                raise ValueError(f"{name} must be given")


def export(settings: ExportConfig) -> int:
    """Write files and manifest; return the number of clips."""
    from src.core.media_io.audio import Audio
    from src.core.media_io.audio_writer import write_audio
    from src.core.media_io.video_writer import write_video
    from src.streaming.reader import Dataset

    out = Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    dataset, lines, rows = Dataset(Path(settings.data)), [], []
    for bucket, reader in dataset.readers.items():
        for i in range(len(reader)):
            if settings.num_clips and len(lines) == settings.num_clips:
                break
            record = dataset.pixels(bucket, i)
            if record.audio_CS is None:
                raise UserError(f"{settings.data}: record {record.id!r} has no audio")
            name = record.id.replace("/", "_")
            audio = Audio(record.audio_CS.numpy().astype(np.float32) / 32768.0, 48_000)
            write_audio(out / f"{name}.wav", audio.samples_CS, audio.rate)
            sample: dict[str, Any] = {
                "id": name,
                "prompt": (record.audio_captions or record.captions or ("",))[0],
            }
            sample |= {"audio": f"{name}.wav", "facts": record.facts}
            video_THWC = record.video_TCHW.permute(0, 2, 3, 1).contiguous().numpy()
            if settings.videos:
                write_video(out / f"{name}.mp4", video_THWC, record.fps, audio=audio)
                sample["video"] = f"{name}.mp4"
            lines.append(json.dumps(sample, ensure_ascii=False))
            if len(rows) < settings.sheet_rows:
                rows.append((name, video_THWC, audio, record.facts, record.captions[-1]))
    with atomic_write(out / "manifest.jsonl") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if rows:
        _draw_sheet(out / "sheet.png", rows)
    return len(lines)


def _draw_sheet(path: Path, rows: list[tuple[str, np.ndarray, Any, dict[str, Any], str]]) -> None:
    """Draw of each clip twelve frames above its spectrogram (left, then right), with its events."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2 * len(rows), 1, figsize=(14, 3.6 * len(rows)), squeeze=False)
    for row, (name, video_THWC, audio, facts, caption) in enumerate(rows):
        top, bottom = axes[2 * row, 0], axes[2 * row + 1, 0]
        chosen = np.linspace(0, len(video_THWC) - 1, 12).astype(int)
        top.imshow(np.concatenate(list(video_THWC[chosen]), axis=1))
        top.set_axis_off()
        top.set_title(f"{name}: {caption}", fontsize=7, wrap=True)
        seconds = audio.samples_CS.shape[1] / audio.rate
        for channel, samples_S in enumerate(audio.samples_CS[::-1]):  # left above right
            low, high = channel * 12_000, (channel + 1) * 12_000
            spectrum, _, _, _ = bottom.specgram(
                samples_S + 1e-6, NFFT=1024, Fs=audio.rate, noverlap=512, visible=False
            )
            shown = 10 * np.log10(spectrum[: 1024 * 12_000 // audio.rate] + 1e-12)
            bottom.imshow(
                shown[::-1], extent=(0, seconds, low, high), aspect="auto", cmap="magma", vmin=-120, vmax=-40
            )
        for event in facts["events"]:
            azimuth = "" if event["azimuth_deg"] is None else f" {event['azimuth_deg']:.0f}°"
            bottom.axvline(event["time_s"], color="cyan", linewidth=0.7)
            bottom.text(event["time_s"], 23_000, event["kind"] + azimuth, color="white", fontsize=6, va="top")
        bottom.set_xlim(0, seconds)
        bottom.set_ylim(0, 24_000)
        bottom.set_yticks([])
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def main(argv: list[str]) -> None:
    """Parse the command line and export."""
    settings = config.from_command_line(ExportConfig, argv, __doc__)
    if settings is not None:
        print(f"{settings.out}: {export(settings)} clips")


if __name__ == "__main__":
    sys.exit(cli.run(main))
