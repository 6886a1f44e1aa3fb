"""The files of a study: reading them with one-line errors, writing them, and the hash over all of them."""

import hashlib
import json
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from eval.human.config import StudyConfig
from eval.human.schema import Axis, Item, MediaFile, Plan, RaterRecord, Slot, VoteRecord
from src.core.atomic import atomic_write
from src.core.config import flatten, load, resumable_keys, to_yaml

R = TypeVar("R")
VOTES, RATERS = "votes.jsonl", "raters.jsonl"


@dataclass(frozen=True)
class Study:
    """Everything that `plan` wrote into a study's folder."""

    folder: Path
    config: StudyConfig
    plan: Plan
    axes: dict[str, Axis]
    items: dict[str, Item]
    slots: dict[str, Slot]
    media: dict[str, MediaFile]

    def media_path(self, media_id: str) -> Path:
        """Return the path of a media file."""
        return self.folder / "media" / self.media[media_id].file


def load_study(folder: Path | str) -> Study:
    """Read a study's folder.

    Raises:
        ValueError: the folder is no study, a file is broken (with its line), or its hash does not match.
    """
    folder = Path(folder)
    if not (folder / "plan.json").is_file():
        raise ValueError(f"study: {folder} has no plan.json; write it with `python -m eval.human plan`")
    plan = parse_record(Plan, _read_json(folder / "plan.json"), str(folder / "plan.json"))
    config = load(StudyConfig, folder / "study.yaml")
    axes_json = _read_json(folder / "axes.json")
    axes = {name: parse_record(Axis, axis, f"axes.json: {name}") for name, axis in axes_json.items()}
    items = {each.id: each for each in read_records(Item, folder / "items.jsonl")}
    slots = {each.id: each for each in read_records(Slot, folder / "slots.jsonl")}
    media = {each.id: each for each in read_records(MediaFile, folder / "media.jsonl")}
    study = Study(folder, config, plan, axes, items, slots, media)
    if plan.hash != (found := study_hash(study)):
        raise ValueError(
            f"study: the files of {folder} were edited after planning (hash {found[:12]}, planned "
            f"{plan.hash[:12]}); restore them, or plan into another folder"
        )
    return study


def save_study(study: Study) -> None:
    """Write all files of a study but media; plan.json, with the hash of the others, comes last."""
    folder = study.folder
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / "study.yaml") as path:
        path.write_text(to_yaml(study.config), encoding="utf-8")
    _write_json(folder / "axes.json", {name: asdict(axis) for name, axis in study.axes.items()})
    write_records(folder / "items.jsonl", study.items.values())
    write_records(folder / "slots.jsonl", study.slots.values())
    write_records(folder / "media.jsonl", study.media.values())
    _write_json(folder / "plan.json", asdict(study.plan) | {"hash": study_hash(study)})


def study_hash(study: Study) -> str:
    """Return the sha256 over settings (but those that change no study), axes, items, slots and media."""
    free = resumable_keys(study.config)
    settings = {key: value for key, value in flatten(study.config).items() if key not in free}
    digest = hashlib.sha256(_canonical(settings))
    digest.update(_canonical({name: asdict(axis) for name, axis in study.axes.items()}))
    for records in (study.items, study.slots, study.media):
        for record in records.values():
            digest.update(_canonical(asdict(record)))
    return digest.hexdigest()


def read_votes_file(path: Path | str) -> list[VoteRecord]:
    """Read votes.jsonl; a last line without its end, as a crash leaves it, is an error as well."""
    votes = read_records(VoteRecord, path)
    seen: set[tuple[str, str, str]] = set()
    for number, vote in enumerate(votes, 1):
        key = (vote.rater, vote.item, vote.axis)
        if key in seen:
            raise ValueError(
                f"{path}:{number}: second vote of rater {vote.rater} on {vote.item}, {vote.axis}"
            )
        seen.add(key)
    return votes


def read_raters_file(path: Path | str) -> list[RaterRecord]:
    """Read raters.jsonl."""
    return read_records(RaterRecord, path)


def write_records(path: Path | str, records: Iterable[Any]) -> None:
    """Write dataclasses as lines of JSON; the file is replaced at once."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as out:
        for record in records:
            out.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")


def read_records(kind: type[R], path: Path | str) -> list[R]:
    """Read lines of JSON into dataclasses.

    Raises:
        ValueError: `PATH:LINE: reason`: half a line, an unknown key, a wrong type.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path.name}: no such file: {path}")
    records: list[R] = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line.decode())
            except ValueError:
                cut = " (half a line: the file was cut off)" if not line.endswith(b"\n") else ""
                raise ValueError(
                    f"{path}:{number}: not JSON{cut}; the {len(records)} lines before are valid"
                ) from None
            records.append(parse_record(kind, value, f"{path}:{number}"))
    return records


def parse_record(kind: type[R], value: Any, where: str) -> R:
    """Build a dataclass from plain JSON; unknown keys, missing ones and wrong types are errors."""
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object, got {type(value).__name__}")
    hints, known = get_type_hints(kind), {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(value.keys() - known.keys()):
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(known)}")
    for name, each in known.items():
        if name not in value and each.default is MISSING and each.default_factory is MISSING:
            raise ValueError(f"{where}: {name} is missing")
    return kind(**{name: _convert(hints[name], part, f"{where}: {name}") for name, part in value.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _convert(args[0], value, where)
    if origin is typing.Literal:
        if value not in args:
            raise ValueError(f"{where}: expected one of {', '.join(map(str, args))}, got {value!r:.60}")
        return value
    if origin is tuple and isinstance(value, list | tuple):
        kinds = [args[0]] * len(value) if args[-1] is Ellipsis else list(args)
        if len(kinds) == len(value):
            return tuple(_convert(k, v, where) for k, v in zip(kinds, value, strict=True))
    if origin is dict and isinstance(value, dict):
        return {str(k): _convert(args[1], v, f"{where}.{k}") for k, v in value.items()}
    if is_dataclass(hint) and isinstance(hint, type):
        return parse_record(hint, value, where)
    if hint is Any:
        return value
    if hint is float and type(value) in (int, float):
        return float(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise ValueError(f"{where}: expected {_name(hint)}, got {value!r:.60}")


def _name(hint: Any) -> str:
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return names.get(hint, "a list" if get_origin(hint) is tuple else "an object")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ValueError(f"study: {path.name} is missing in {path.parent}") from None
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
