"""Curation from end to end: pool, scores, funnel, captions, finetuning selection, reports."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from data.curation import captioning, finetuning, review_page
from data.curation.camera_labels import label_rows
from data.curation.config import CurationConfig, ScoringConfig
from data.curation.funnel import Funnel, passes_header, run_funnel
from data.curation.pool import list_pool, pool_root, split_pool
from data.curation.ray_units import score_units_on_ray
from data.curation.report import funnel_table, plot_funnel, write_report
from data.curation.scorer import Clip
from data.curation.store import ARRAYS, NETWORKS, ScoreStore, clip_key, settings_key
from data.curation.workers import Job, Unit, score_units
from src.core import config, provenance
from src.core.atomic import atomic_write
from src.core.errors import UserError
from src.core.progress import progress

NOT_IN_DECISIONS = (*ARRAYS, "preview")


def curate(settings: CurationConfig, console: Console | None = None) -> Funnel:
    """Score what is not scored yet, run the funnel, and write everything into `out`.

    Raises:
        UserError: nothing to read, a network that is missing, or not one clip kept.
    """
    console = console or Console()
    check_networks(settings.scoring)
    out, root = Path(settings.out), pool_root(settings)
    out.mkdir(parents=True, exist_ok=True)
    provenance.write(out, config.to_yaml(settings))
    clips, rejected = list_pool(settings)
    if settings.split.enabled:
        clips, more = split_pool(root, clips, settings.split, out / "content", settings.seed)
        rejected += more
    rows = _rejected_rows(rejected) + _score_all(settings, root, out, clips, console)
    label_rows(rows, settings.camera)
    funnel = run_funnel(rows, settings)
    captioning.caption_rows(funnel.kept, settings.captioner, root, out, console)
    if settings.finetuning.enabled:
        finetuning.select(funnel, settings)
        review_page.write_page(out / "review.html", funnel.kept, root)
        finetuning.apply_decisions(funnel, settings.finetuning)
    labeled = captioning.prefix_camera(funnel.kept, settings.camera)
    write_outputs(funnel, settings, root, out)
    console.print(f"{labeled} of {len(funnel.kept)} kept clips have a confident camera label")
    console.print(funnel_table(funnel, Table))
    console.print(
        f"{out}: {len(funnel.kept)} of {len(rows)} clips kept; kept.jsonl, report.html", soft_wrap=True
    )
    if not funnel.kept:
        raise UserError(f"{out}: not one of {len(rows)} clips passed the funnel; see {out / 'report.html'}")
    return funnel


def check_networks(scoring: ScoringConfig) -> None:
    """Refuse networks that are not there before anything is decoded.

    Raises:
        UserError: a path that does not exist.
    """
    for name in NETWORKS:
        path = getattr(scoring, name)
        if path and not Path(path).exists():
            raise UserError(f"scoring.{name}={path}: no such file or folder; nothing is downloaded")


def _score_all(
    settings: CurationConfig, root: Path, out: Path, clips: list[Clip], console: Console
) -> list[dict[str, Any]]:
    """Return the rows of all clips; those that are not in the store are scored now."""
    store = ScoreStore(out / "scores")
    scoring = settings_key(settings.scoring)
    keys = [clip_key(root, clip, scoring) for clip in clips]
    decode = settings.decode == "all"
    _score_missing(settings, root, store, dict(zip(keys, clips, strict=True)), decode, console)
    rows = store.read(keys)
    if not decode:
        passing = {
            key: clip
            for key, clip in zip(keys, clips, strict=True)
            if not rows[key]["error"] and passes_header(rows[key], settings)
        }
        _score_missing(settings, root, store, passing, True, console)
        rows = store.read(keys)
    return [rows[key] | {"captions": list(clip.captions)} for key, clip in zip(keys, clips, strict=True)]


def _score_missing(
    settings: CurationConfig,
    root: Path,
    store: ScoreStore,
    clips: dict[str, Clip],
    decode: bool,
    console: Console,
) -> None:
    known = store.keys()
    jobs = [
        Job(key, clip, decode)
        for key, clip in clips.items()
        if key not in known or (decode and not known[key])
    ]
    size = settings.unit_size
    units = [
        Unit(root, store.folder, tuple(jobs[i : i + size]), settings.scoring)
        for i in range(0, len(jobs), size)
    ]
    if units:
        title = "score" if decode else "read headers"
        try:
            with progress(title, len(clips), len(clips) - len(jobs), console) as done:
                if settings.engine == "ray":
                    score_units_on_ray(units, settings.ray_address, done)
                else:
                    score_units(units, settings.num_workers, done)
        except ValueError as error:  # a network that is missing or does not fit
            raise UserError(str(error)) from error


def _rejected_rows(rejected: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"start_s": 0.0, "end_s": None, "captions": [], "decoded": False} | each for each in rejected]


def write_outputs(funnel: Funnel, settings: CurationConfig, root: Path, out: Path) -> None:
    """Write kept.jsonl, decisions.parquet, funnel.json, funnel.md, funnel.png and report.html."""
    lines = [json.dumps(kept_entry(row), ensure_ascii=False) for row in funnel.kept]
    with atomic_write(out / "kept.jsonl") as temporary:
        temporary.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    plain = [{key: value for key, value in row.items() if key not in NOT_IN_DECISIONS} for row in funnel.rows]
    with atomic_write(out / "decisions.parquet") as temporary:
        pq.write_table(pa.Table.from_pylist(_same_columns(plain)), temporary)
    counts = [dataclasses.asdict(count) for count in funnel.counts]
    (out / "funnel.json").write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
    (out / "funnel.md").write_text(funnel_table(funnel), encoding="utf-8")
    plot_funnel(out / "funnel.png", funnel)
    if settings.examples:
        write_report(out / "report.html", funnel, settings, root)


def kept_entry(row: dict[str, Any]) -> dict[str, Any]:
    """Return a line of kept.jsonl, as `data.prepare` reads it with files.root=POOL."""
    entry = {"path": row["path"], "start": round(row["start_s"], 6), "end": round(row["end_s"], 6)}
    return entry | ({"caption": row["captions"]} if row["captions"] else {})


def _same_columns(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name) for name in names} for row in rows]
