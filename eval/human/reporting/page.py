"""The HTML page of a report, with the clips and their votes; it loads nothing from elsewhere."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from eval.human.analysis.preferences import Preference
from eval.human.reporting.results import Results
from eval.human.reporting.table import Table
from eval.human.study import Study


def write_page(
    path: Path,
    title: str,
    lead: str,
    tables: Sequence[Table],
    plots: Mapping[str, str],
    results: Results,
    study: Study | None,
    num_items: int,
) -> None:
    """Write the page.

    Args:
        plots: SVG text by name.
        study: where the clips are; without one the page has tables and plots only.
        num_items: comparisons shown with their clips, those with the most divided votes first.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    items = _items(study, results.preferences, num_items, path.parent) if study else []
    text = environment.get_template("page.html").render(
        title=title,
        lead=lead,
        notes=results.notes,
        tables=tables,
        plots={name: svg[svg.index("<svg") :] for name, svg in plots.items()},
        items=items,
        items_note=f"{len(items)} comparisons, those with the most divided votes first",
    )
    path.write_text(text, encoding="utf-8")


def _items(
    study: Study, preferences: Sequence[Preference], num_items: int, folder: Path
) -> list[dict[str, Any]]:
    votes: dict[str, dict[str, list[Preference]]] = defaultdict(lambda: defaultdict(list))
    for each in preferences:
        votes[each.item][each.axis].append(each)

    def division(name: str) -> float:
        groups = [[each.value for each in group] for group in votes[name].values()]
        return sum(1 - max(map(group.count, set(group))) / len(group) for group in groups) / len(groups)

    shown = sorted(votes, key=lambda name: (-division(name), name))[:num_items]
    found = []
    for name in shown:
        item = study.items[name]
        sides = [
            {
                "system": system,
                "kind": study.media[media].kind,
                "file": Path(os.path.relpath(study.media_path(media), folder)).as_posix(),
            }
            for system, media in zip(item.systems, item.stimuli, strict=True)
        ]
        lines = []
        for axis, group in votes[name].items():
            for a, b in sorted({(each.a, each.b) for each in group}):
                values = [each.value for each in group if (each.a, each.b) == (a, b)]
                counts = [values.count(value) for value in (1, 0, -1)]
                lines.append(f"{axis}: {a} {counts[0]} · equal {counts[1]} · {b} {counts[2]}")
        found.append({"sample": item.sample, "prompt": item.prompt, "sides": sides, "votes": lines})
    return found
