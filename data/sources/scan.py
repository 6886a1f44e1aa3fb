"""List the inputs that a path stands for: a folder, a list, tars, parquet."""

from pathlib import Path

from data.config import FilesConfig
from data.sources.folder import list_folder
from data.sources.listing import Listing
from data.sources.stored_media import caption_stamps
from data.sources.tables import list_table
from data.sources.tars import list_tars
from src.streaming.schema.bucket import DataError

LIST_TYPES = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".tar": "tars"}
TABLE_TYPES = (".parquet", ".arrow")
SIDE_TYPES = (".json", ".md", ".txt", ".lock", "")  # of a data set's own description


def format_of(config: FilesConfig) -> str:
    """Return the format of `files.path`: by its suffix, or by what the folder holds.

    Raises:
        DataError: no such path, or a folder that holds media next to tars or parquet.
    """
    path = Path(config.path)
    if not config.path or not path.exists():
        raise DataError(f"files.path={config.path!r}: no such folder or CSV file")
    if config.format != "auto":
        return config.format
    if path.is_file():
        kind = path.suffix.lower()
        found = LIST_TYPES.get(kind, "parquet" if kind in TABLE_TYPES else "")
        if not found:
            raise DataError(
                f"files.path={config.path!r}: not a list ({', '.join([*LIST_TYPES, *TABLE_TYPES])}); "
                "files.format=csv reads it as a list"
            )
        return found
    formats = {"tars": _files_below(path, (".tar",)), "parquet": _files_below(path, TABLE_TYPES)}
    held = [name for name, files in formats.items() if files]
    if not held:
        return "folder"
    others = [p.name for p in path.iterdir() if p.suffix.lower() not in (".tar", *TABLE_TYPES)]
    media = [name for name in others if Path(name).suffix.lower() not in SIDE_TYPES]
    if len(held) > 1 or media:
        raise DataError(
            f"files.path={config.path!r}: holds {' and '.join([*held, *media[:1]])}; "
            f"choose files.format={' or '.join([*held, 'folder'])}"
        )
    return held[0]


def root_of(config: FilesConfig) -> Path:
    """Return the folder that the paths of inputs are relative to."""
    if config.root:
        return Path(config.root)
    path = Path(config.path)
    return path if path.is_dir() else path.parent


def list_files(config: FilesConfig) -> Listing:
    """Return the inputs of `files.path`; DataError if it, or a list as such, cannot be read."""
    path, root, kind = Path(config.path), root_of(config), format_of(config)
    if kind == "folder":
        if not path.is_dir():
            raise DataError(f"files.path={config.path!r}: files.format=folder needs a folder")
        return list_folder(path)
    if kind in ("csv", "jsonl"):
        listing = list_table(path, kind, root, config.columns)
        for item in listing.items:
            if "reason" not in item and not item.get("captions"):
                item |= caption_stamps(root, item["path"])
        return listing
    files = [path] if path.is_file() else _files_below(path, (".tar",) if kind == "tars" else TABLE_TYPES)
    if kind == "tars":
        return list_tars(files, root)
    try:
        from data.sources.parquet import list_parquet
    except ImportError:
        raise DataError(f"files.path={config.path!r}: parquet needs pyarrow: pip install pyarrow") from None
    return list_parquet(files, root, config.columns)


def _files_below(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Return the files of a folder and of two levels below, where data sets keep splits, by suffix."""
    paths = [path for depth in ("*", "*/*", "*/*/*") for path in folder.glob(depth)]
    found = [path for path in paths if path.suffix in suffixes and not path.name.startswith(".")]
    return sorted(path for path in found if path.is_file())
