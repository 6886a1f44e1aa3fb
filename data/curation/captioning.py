"""Captions by a local vision-language model, and camera-motion labels before captions.

Legend: T frames, H height, W width, C = 3 (RGB, uint8).
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from data.curation.config import CameraConfig, CaptionerConfig
from src.core.errors import UserError
from src.core.hashing import file_sha256
from src.core.media_io.video_reader import open_video
from src.core.progress import progress


def caption_rows(
    rows: list[dict[str, Any]], config: CaptionerConfig, root: Path, out: Path, console: Console
) -> None:
    """Give clips without a caption one by the model (with `overwrite`, all); nothing without a model.

    Captions are appended to captions.jsonl as they are made, so an interruption loses one at most.

    Raises:
        UserError: the folder is not an image-text-to-text model.
    """
    if not config.path:
        return
    done = _read_done(out / "captions.jsonl")
    model_key = _model_key(config)
    missing = [row for row in rows if config.overwrite or not row["captions"]]
    fresh = [row for row in missing if f"{row['key']}/{model_key}" not in done]
    with (
        progress("caption", len(missing), len(missing) - len(fresh), console) as advance,
        (out / "captions.jsonl").open("a", encoding="utf-8") as file,
    ):
        for row in fresh:
            frames = read_frames(root / row["path"], row["start_s"], row["end_s"], config.num_frames)
            name, caption = f"{row['key']}/{model_key}", load_captioner(config).caption(frames)
            done[name] = caption
            file.write(json.dumps({"name": name, "id": row["id"], "caption": caption}) + "\n")
            file.flush()
            advance(1)
    for row in missing:
        caption = done[f"{row['key']}/{model_key}"]
        row["captions"] = [caption] if caption else row["captions"]


def prefix_camera(rows: list[dict[str, Any]], config: CameraConfig) -> int:
    """Put confident camera labels before captions ("Pan right. A dog runs."); return the number of labels."""
    count = 0
    for row in rows:
        label = row.get("camera_label")
        if not config.prefix or not label or row["camera_confidence"] < config.min_confidence:
            continue
        count += 1
        sentence = f"{label[0].upper()}{label[1:]}."
        row["captions"] = [f"{sentence} {caption}" for caption in row["captions"]] or [sentence]
    return count


def read_frames(path: Path, start_s: float, end_s: float, count: int) -> np.ndarray:
    """Return frames [T, H, W, C] at the middles of `count` equal parts, fewer if the clip has fewer."""
    times = [start_s + (end_s - start_s) * (n + 0.5) / count for n in range(count)]
    frames: list[np.ndarray] = []
    with open_video(path) as video:
        for frame in video.frames(start_s, end_s):
            if len(frames) < count and frame.time_s >= times[len(frames)] - 1e-6:
                frames.append(frame.rgb_HWC)
            last = frame.rgb_HWC
    return np.stack(frames or [last])


class Captioner:
    """A model and processor of transformers: image-text-to-text, frames as images or as a video.

    Raises:
        UserError: the folder cannot be loaded, or its processor has no chat template.
    """

    def __init__(self, config: CaptionerConfig) -> None:
        self.config = config
        try:
            from transformers import AutoModelForImageTextToText, AutoProcessor

            self.processor = AutoProcessor.from_pretrained(config.path, local_files_only=True)
            model, found = AutoModelForImageTextToText.from_pretrained(
                config.path, local_files_only=True, output_loading_info=True
            )
        except Exception as error:  # ImportError, OSError, ValueError, KeyError: a bad folder
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"captioner.path={config.path}: cannot be loaded ({reason})") from None
        if found["missing_keys"]:  # they would be random
            missing = sorted(found["missing_keys"])
            raise UserError(
                f"captioner.path={config.path}: {len(missing)} tensors missing, first {missing[0]}"
            )
        if not getattr(self.processor, "chat_template", None):
            raise UserError(f"captioner.path={config.path}: its processor has no chat template")
        self.model: Any = model.eval().to(config.device)

    def caption(self, frames_THWC: np.ndarray) -> str:
        """Return the model's greedy answer to the prompt and the frames, in one line."""
        import torch

        images = [Image.fromarray(frame) for frame in frames_THWC]
        content: list[dict[str, Any]] = [{"type": "image"} for _ in images]
        content.append({"type": "text", "text": self.config.prompt})
        text = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        inputs = self.processor(images=images, text=[text], return_tensors="pt").to(self.config.device)
        with torch.inference_mode():
            ids = self.model.generate(**inputs, max_new_tokens=self.config.max_new_tokens, do_sample=False)
        answer = self.processor.batch_decode(
            ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )[0]
        return " ".join(answer.split())


@cache
def load_captioner(config: CaptionerConfig) -> Captioner:
    """Return the captioner of a config, loaded once."""
    return Captioner(config)


def _model_key(config: CaptionerConfig) -> str:
    """Return a hash of everything that a caption depends on besides the clip."""
    weights = sorted(path for path in Path(config.path).glob("*") if path.is_file())
    if not weights:
        raise UserError(f"captioner.path={config.path}: no such folder; nothing is downloaded")
    parts = [[path.name, file_sha256(path)] for path in weights]
    parts.append([config.prompt, config.num_frames, config.max_new_tokens])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _read_done(path: Path) -> dict[str, str]:
    """Return the captions by name; a last line that an interruption cut off is left out."""
    done = {}
    for line in path.read_text(encoding="utf-8").split("\n") if path.is_file() else []:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        done[entry["name"]] = entry["caption"]
    return done
