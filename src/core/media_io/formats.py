"""Kinds of media files by suffix, and by content where a suffix stands for images and videos."""

import io
from pathlib import Path
from typing import Literal

from PIL import Image, UnidentifiedImageError

VIDEO_TYPES = {
    ".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".wmv", ".flv",
    ".ogv", ".3gp", ".3g2", ".mxf", ".asf", ".vob", ".dv", ".y4m", ".gif", ".apng",
}  # fmt: skip
IMAGE_TYPES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif"}
AUDIO_TYPES = {
    ".wav", ".w64", ".flac", ".mp3", ".mp2", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".ac3", ".wma", ".aiff",
    ".aif", ".caf", ".au", ".amr", ".wv", ".mka",
}  # fmt: skip
# Types of images that may move. A TIFF's further images are pages.
ANIMATED_TYPES = {".gif", ".png", ".apng", ".webp", ".avif"}

# Folders of thumbnails and of deleted files, besides those that begin with a dot
THUMBNAIL_FOLDERS = {"@eadir", "__macosx", "#recycle", "$recycle.bin", "lost+found", "thumbnails"}

Kind = Literal["video", "image", "audio"]


def media_kind(source: Path | str | bytes) -> Kind | None:
    """Return what a file is read as; None for types that are not read, and bytes that are no image.

    Files of `ANIMATED_TYPES`, and bytes, are opened: several frames are a video, one frame is an image.
    """
    suffix = "" if isinstance(source, bytes) else Path(source).suffix.lower()
    if isinstance(source, bytes) or suffix in ANIMATED_TYPES:
        moving = is_animated(source)
        if moving is not None:
            return "video" if moving else "image"
    if suffix in VIDEO_TYPES:
        return "video"
    if suffix in IMAGE_TYPES:
        return "image"
    return "audio" if suffix in AUDIO_TYPES else None


def is_animated(source: Path | str | bytes) -> bool | None:
    """Return whether an image has several frames shown in time; None if it cannot be opened as an image."""
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return bool(getattr(image, "is_animated", False))
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        return None


def is_hidden_folder(name: str) -> bool:
    """True for names that begin with a dot or stand for thumbnails; "." and ".." do not."""
    return name.lower() in THUMBNAIL_FOLDERS or (name.startswith(".") and name not in (".", ".."))
