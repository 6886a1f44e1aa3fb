"""Write a page that plays the videos of a manifest: `python -m eval.video_page manifest=FILE out=PAGE.html`.

Videos stay where they are: the page links to them and works from the disk, without a server. Each has its
prompt, its own controls and what the generator states of its audio.
"""

import json
import os
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from eval.core.manifest import Sample, read_manifest
from src.core.atomic import atomic_write
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt

_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem}
ul{list-style:none;padding:0;display:grid;gap:1.5rem;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr))}
video{width:100%;image-rendering:pixelated;background:#000}
p{margin:.3rem 0}.facts{opacity:.75;font-size:.85rem}
"""


@dataclass(frozen=True, kw_only=True)
class VideoPageConfig(Config):
    """Settings of `eval.video_page`."""

    manifest: str = opt("???", "manifest of videos")
    out: str = opt("???", "page to write, .html")
    title: str = opt("Generated videos", "heading of the page")
    num_videos: int = opt(0, "videos shown at most; 0: all", ge=0)


def write_page(config: VideoPageConfig) -> Path:
    """Write the page; return its path.

    Raises:
        UserError: an unreadable manifest, or one without videos.
    """
    path, out = Path(config.manifest), Path(config.out)
    try:
        samples = [sample for sample in read_manifest(path) if sample.video]
    except ValueError as error:
        raise UserError(str(error)) from error
    if not samples:
        raise UserError(f"{path}: no videos")
    root = os.path.relpath(path.resolve().parent, out.resolve().parent)
    shown = samples[: config.num_videos or None]
    title = escape(config.title)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>{title}</title><style>{_STYLE}</style><main><h1>{title}</h1>",
        f"<p>{len(shown)} of {len(samples)} videos of {escape(str(path))}</p><ul>",
        *(_item(sample, root) for sample in shown),
        "</ul></main></html>",
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(out) as temporary:
        temporary.write_text("\n".join(parts) + "\n", encoding="utf-8")
    return out


def _item(sample: Sample, root: str) -> str:
    source = quote(f"{root}/{sample.video}")
    label = escape(sample.prompt or sample.id)
    video = f'<video controls loop playsinline preload=metadata src="{source}" aria-label="{label}"></video>'
    stated = _stated(sample.generation or {})
    facts = f"<p class=facts>{escape(stated)}</p>" if stated else ""
    return f"<li>{video}<p>{label}</p>{facts}</li>"


def _stated(generation: dict[str, Any]) -> str:
    """Return loudness and channels in words."""
    words = []
    if "loudness_lufs" in generation:
        words.append(f"{generation['loudness_lufs']} LUFS, peak {generation['peak_db']} dB")
    if "channels" in generation:
        words.append({1: "mono", 2: "stereo"}.get(generation["channels"], json.dumps(generation["channels"])))
    return ", ".join(words)


def main(argv: list[str]) -> None:
    """Write the page and print where it is."""
    config = from_command_line(VideoPageConfig, argv, __doc__)
    if config is None:
        return
    print(f"page: {write_page(config)}")


if __name__ == "__main__":
    sys.exit(run_command(main))
