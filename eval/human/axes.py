"""Axes of human evaluation: the shipped templates (eval/human/templates) and own ones in YAML.

`python -m eval.human axes` lists them. An own file has the form of the shipped ones: `defaults` for all of
its axes, and `axes` by name. `examples` and `gold` name degradations of the study's own clips (with
`=equal` where the degradation does not count on the axis); their explanations come from degradations.yaml or
from `explanations` of the axis.
"""

import sys
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from eval.human.config import LANGUAGES
from eval.human.degradations import DEGRADATIONS
from eval.human.schema import Axis, Example
from eval.human.study import parse_record
from src.core.cli import run as run_command
from src.core.errors import UserError
from src.core.markdown import markdown_table
from src.core.suggestions import did_you_mean

TEMPLATES = Path(__file__).parent / "templates"
FILES = ("video", "audio", "personalization", "editing", "image", "scales")
COMPARES = ("prompt", "source", "reference")
OPTIONS = {
    "choice": ("left", "right", "equal"),
    "rating": ("1", "2", "3", "4", "5"),
    "mushra": (),
    "ranking": (),
}
GROUPS = {  # further names for several axes; each template file is a group of its own
    "text_alignment": ("text_subject", "text_motion"),
    "visual_quality": ("visual_overall", "frame_consistency", "motion_completeness", "motion_naturalness"),
    "sfx": (
        "audio_overall",
        "audio_naturalness",
        "audio_professionalness",
        "av_correctness",
        "av_synchronization",
        "audio_text_precision",
        "audio_text_recall",
    ),
    "music": ("audio_overall", "music_mood", "music_scene"),
}


def load_templates() -> dict[str, dict[str, Axis]]:
    """Return the shipped axes by file."""
    return {name: read_axes(TEMPLATES / f"{name}.yaml") for name in FILES}


def select_axes(names: Iterable[str], files: Iterable[str] = (), languages: Iterable[str] = ()) -> list[Axis]:
    """Return axes by name or group, in the given order; axes of `files` replace shipped ones of that name.

    Raises:
        ValueError: an unknown name, or an axis lacks texts in one of `languages`.
    """
    shipped = load_templates()
    known = {axis.id: axis for group in shipped.values() for axis in group.values()}
    groups = {name: tuple(group) for name, group in shipped.items()} | GROUPS
    for file in files:
        own = read_axes(Path(file))
        known |= own
        groups[Path(file).stem] = tuple(own)
    chosen: dict[str, Axis] = {}
    for name in names:
        if name not in known and name not in groups:
            near = did_you_mean(name, [*known, *groups])
            raise ValueError(f"axes: unknown axis or group {name!r}; {near} (`python -m eval.human axes`)")
        chosen |= {each: known[each] for each in groups.get(name, (name,))}
    for axis in chosen.values():
        for label, text in [
            ("name", axis.name),
            ("question", axis.question),
            ("instructions", axis.instructions),
        ]:
            if missing := [language for language in languages if not text.get(language)]:
                raise ValueError(
                    f"axes: {axis.id}: {label}: no text in {', '.join(missing)}; see `languages`"
                )
    return list(chosen.values())


def read_axes(path: Path) -> dict[str, Axis]:
    """Read a YAML file of axes.

    Raises:
        ValueError: the file is missing or wrong; one line with the axis and the key.
    """
    if not path.is_file():
        raise ValueError(f"axes_files: no such file: {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not isinstance(content.get("axes"), dict):
        raise ValueError(f"{path}: expected keys `axes` and, optionally, `defaults`")
    shared = content.get("defaults") or {}
    explanations = yaml.safe_load((TEMPLATES / "degradations.yaml").read_text(encoding="utf-8"))
    return {
        name: _parse_axis(name, {**shared, **(entry or {})}, explanations, f"{path}: {name}")
        for name, entry in content["axes"].items()
    }


def _parse_axis(name: str, entry: dict[str, Any], explanations: dict[str, Any], where: str) -> Axis:
    own = entry.pop("explanations", {})
    for key in ("name", "question", "instructions"):
        if isinstance(entry.get(key), str):
            entry[key] = dict.fromkeys(LANGUAGES, entry[key])
    examples = []
    for text in entry.get("examples", ()):
        degradation, _, outcome = str(text).partition("=")
        texts = own.get(text) or explanations["equal" if outcome else "better"].get(degradation)
        if outcome not in ("", "equal") or texts is None:
            raise ValueError(f"{where}: examples: no explanation of {text!r}; add one under `explanations`")
        examples.append(Example(degradation=degradation, equal=bool(outcome), explanation=texts))
    known = {each.name for each in fields(Axis)}
    if unknown := [key for key in entry if key not in known]:
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; {did_you_mean(unknown[0], known)}")
    plain = {key: value for key, value in entry.items() if key != "examples"}
    axis = parse_record(Axis, {"id": name, **plain}, where)
    axis = Axis(**{**vars(axis), "examples": tuple(examples)})
    if set(axis.options) != set(OPTIONS[axis.answer]):
        raise ValueError(f"{where}: options: expected {', '.join(OPTIONS[axis.answer]) or 'none'}")
    for each in (*axis.gold, *(example.degradation for example in examples)):
        if each not in DEGRADATIONS:
            raise ValueError(f"{where}: unknown degradation {each!r}; known: {', '.join(DEGRADATIONS)}")
    if unknown := [each for each in axis.compares if each not in COMPARES]:
        raise ValueError(f"{where}: compares: unknown {unknown[0]!r}; known: {', '.join(COMPARES)}")
    return axis


def axes_table() -> str:
    """Return a Markdown table of the shipped axes."""
    rows = [
        [group, axis.id, axis.family, axis.answer, str(axis.num_raters), axis.question["en"]]
        for group, axes in load_templates().items()
        for axis in axes.values()
    ]
    return markdown_table(["group", "axis", "family", "answer", "raters", "question"], rows)


def main(argv: list[str]) -> None:
    """Print the shipped axes and groups."""
    if argv and argv[0] not in ("--help", "-h"):
        raise UserError(f"axes: takes no arguments, got {argv[0]!r}")
    print(axes_table())
    print("groups:", ", ".join([*FILES, *GROUPS]))


if __name__ == "__main__":
    sys.exit(run_command(main))
