"""The pool: clips of a folder or a list, and those that scene detection cuts out of its videos."""

import hashlib
import json
from pathlib import Path
from typing import Any

from data.config import FilesConfig
from data.curation.config import CurationConfig, SplitConfig
from data.curation.scorer import Clip
from data.curation.splitting import choose_stretches, find_scenes, measure_content
from data.sources.scan import list_files, root_of
from data.sources.stored_media import read_texts
from data.work_units import Input
from src.core.atomic import atomic_write
from src.core.errors import UserError
from src.core.media_io.errors import MediaError
from src.core.media_io.formats import IMAGE_TYPES

Rejected = dict[str, Any]


def pool_root(config: CurationConfig) -> Path:
    """Return the folder that the clips' paths are relative to."""
    return root_of(_files(config)).resolve()


def list_pool(config: CurationConfig) -> tuple[list[Clip], list[Rejected]]:
    """Return the inputs as clips, and those that cannot be used with their reason.

    Raises:
        UserError: no such folder or list, one that holds no videos, or tars and tables, whose members have no
            path of their own.
    """
    files = _files(config)
    clips, rejected = [], []
    for item in list_files(files).items:
        if "tar" in item or "parquet" in item:
            raise UserError(
                f"path={config.path}: curation reads folders, CSV and JSONL; unpack the files first"
            )
        clip = _clip_of(item, files)
        if isinstance(clip, Clip):
            clips.append(clip)
        else:
            rejected.append(clip)
    if not clips:
        reasons = sorted({each["error"] for each in rejected})
        raise UserError(f"path={config.path}: no videos" + (f" ({', '.join(reasons)})" if reasons else ""))
    return clips, rejected


def _files(config: CurationConfig) -> FilesConfig:
    return FilesConfig(path=config.path, root=config.root)


def _clip_of(item: Input, files: FilesConfig) -> Clip | Rejected:
    name = clip_name(item["path"], item.get("start", 0.0), item.get("end"))
    try:
        if "reason" in item:
            raise MediaError(item["reason"], item.get("detail", ""))
        if Path(item["path"]).suffix.lower() in IMAGE_TYPES:
            raise MediaError("image", "curation filters videos")
        captions = read_texts(root_of(files), item, files.columns).captions
    except MediaError as error:
        return {"id": name, "path": item["path"], "error": error.reason, "detail": error.detail}
    return Clip(name, item["path"], item.get("start", 0.0), item.get("end"), captions)


def clip_name(path: str, start_s: float, end_s: float | None) -> str:
    """Return the id of a clip: its path, and the interval unless it is the complete file."""
    interval = f"@{start_s:g}-" if start_s or end_s is not None else ""
    return path + interval + (f"{end_s:g}" if end_s is not None else "")


def split_pool(
    root: Path, clips: list[Clip], config: SplitConfig, folder: Path, seed: int
) -> tuple[list[Clip], list[Rejected]]:
    """Return the clips that scene detection cuts out of each video.

    The changes of content are stored per video, so that other thresholds do not decode it again.
    """
    found, rejected = [], []
    for clip in clips:
        try:
            scenes = find_scenes(_content(root, clip, folder), config)
        except MediaError as error:
            rejected.append({"id": clip.id, "path": clip.path, "error": error.reason, "detail": error.detail})
            continue
        stretches = choose_stretches(scenes, config, seed, clip.id)
        if not stretches:
            longest = max((scene.end_s - scene.start_s for scene in scenes), default=0.0)
            detail = f"longest scene {longest:.2f} s, split.min_s {config.min_s:g}"
            rejected.append({"id": clip.id, "path": clip.path, "error": "no scene", "detail": detail})
        found += [
            Clip(
                clip_name(clip.path, each.start_s, each.end_s),
                clip.path,
                each.start_s,
                each.end_s,
                clip.captions,
            )
            for each in stretches
        ]
    return found, rejected


def _content(root: Path, clip: Clip, folder: Path) -> dict[str, Any]:
    """Return the stored changes of content of a video, measured now if the file is new or changed."""
    status = (root / clip.path).stat()
    parts = [clip.path, status.st_size, status.st_mtime_ns, clip.start_s, clip.end_s]
    path = folder / f"{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]}.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    content = measure_content(root / clip.path, clip.start_s, clip.end_s)
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
    return content
