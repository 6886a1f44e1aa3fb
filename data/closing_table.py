"""Closing table of a preparation: records by bucket or without caption, rejected and skipped inputs."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from data.sources.listing import SKIPPED
from src.streaming.schema.dataset_index import DatasetInfo


def read_rejected(root: Path) -> list[dict[str, Any]]:
    """Return the entries of DIR/rejected.jsonl: source, reason, detail."""
    lines = (root / "rejected.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def reason_counts(rejected: list[dict[str, Any]]) -> dict[str, int]:
    """Return counts by reason, such as "rejected: too short" and "skipped: hidden file", in this order."""
    counts = Counter(row["reason"] for row in rejected)
    named = {r if r.startswith(SKIPPED) else f"rejected: {r}": n for r, n in counts.items()}
    return dict(sorted(named.items()))


def closing_table(root: Path, info: DatasetInfo) -> Table:
    """Return a table of the records and size of each bucket, and of rejected inputs by reason."""
    rejected = read_rejected(root)
    table = Table()
    table.add_column("bucket", no_wrap=True)
    table.add_column("records", justify="right", no_wrap=True)
    table.add_column("MB", justify="right", no_wrap=True)
    table.add_column("the first of them", overflow="fold")
    for name, bucket in info.buckets.items():
        table.add_row(name, str(bucket.records), f"{bucket.bytes / 1e6:.1f}")
    if info.num_uncaptioned:
        table.add_row("without caption", str(info.num_uncaptioned), "")
    first: dict[str, dict[str, Any]] = {}
    for row in rejected:
        first.setdefault(row["reason"], row)
    for title, count in reason_counts(rejected).items():
        row = first[title.removeprefix("rejected: ")]
        example = f"{row['source']}: {row['detail']}" if row["detail"] else row["source"]
        table.add_row(title, str(count), "", Text(_shorten(example)))
    return table


def _shorten(text: str, length: int = 200) -> str:
    return text if len(text) <= length else f"{text[: length // 2]} ... {text[-length // 2 :]}"
