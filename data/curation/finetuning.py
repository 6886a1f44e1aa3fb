"""Finetuning selection: balance of concepts by neighbors of text and video, and the manual decisions.

Movie Gen, sec. 3.3: strict filters and a small-subject filter are steps of the funnel; then concepts are
balanced by text k-NN with a taxonomy, hand-picked seeds and video k-NN; then people choose, trim and caption.

Legend: N clips, K concepts, D dimensions.
"""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from data.curation.balancing import read_lines, video_rows
from data.curation.config import CurationConfig, FinetuningConfig
from data.curation.funnel import Funnel, StepCount
from data.curation.joint_embedding import load_clip
from data.curation.text_features import text_rows
from src.core.errors import UserError

CONCEPTS, MANUAL = "concepts", "manual"  # steps of the funnel


def select(funnel: Funnel, config: CurationConfig) -> None:
    """Keep at most `per_concept` clips of each concept; clips of no concept are rejected.

    Without a list of concepts, all clips stay.

    Raises:
        UserError: the files of concepts or seeds cannot be read, or a seed is not in the pool.
    """
    settings, rows = config.finetuning, funnel.kept
    if not settings.concepts or not rows:
        return
    concepts = read_lines(settings.concepts)
    seeds = read_seeds(Path(settings.seeds), concepts, rows) if settings.seeds else {}
    scores_KN = concept_scores(concepts, seeds, rows, settings, config.scoring.clip_l14)
    owners = assign(scores_KN, settings.per_concept)
    for row, owner in zip(rows, owners, strict=True):
        row["concept"] = concepts[owner] if owner >= 0 else None
        if owner < 0:
            row["step"], row["reason"] = CONCEPTS, "neighbor of no concept, or its concept is full"
    detail = f"{len(concepts)} concepts, at most {settings.per_concept} clips each"
    funnel.counts.append(StepCount(CONCEPTS, len(rows), sum(owner >= 0 for owner in owners), 0, detail))


def concept_scores(
    concepts: list[str],
    seeds: dict[str, list[int]],
    rows: list[dict[str, Any]],
    config: FinetuningConfig,
    clip_path: str,
) -> np.ndarray:
    """Return [K, N]: similarity of a clip to a concept, 0 where it is no neighbor by text or video.

    Neighbors by text: the captions closest to the concept's words. Neighbors by video: the clips closest to
    the concept's seeds, or without seeds to its best caption's clip.
    """
    texts = [" ".join(row["captions"]) for row in rows]
    if clip_path:
        clip = load_clip(clip_path)
        text_KN = (
            np.stack([clip.embed_text(c)[0] for c in concepts])
            @ np.stack([clip.embed_text(t)[0] for t in texts]).T
        )
    else:
        text_KN = text_rows(concepts) @ text_rows(texts).T
    video_ND = video_rows(rows)
    scores_KN = np.zeros_like(text_KN)
    for k, concept in enumerate(concepts):
        near = np.argsort(-text_KN[k], kind="stable")[: config.text_neighbors]
        near = near[text_KN[k, near] >= config.min_similarity]
        scores_KN[k, near] = text_KN[k, near]
        picked = seeds.get(concept) or list(near[:1])
        if picked:
            video_N = (video_ND @ video_ND[picked].T).max(1)
            found = np.argsort(-video_N, kind="stable")[: config.video_neighbors]
            found = found[video_N[found] > 0]
            scores_KN[k, found] = np.maximum(scores_KN[k, found], video_N[found] * 0.5)
            scores_KN[k, picked] = 1.0 + text_KN[k, picked].clip(0)
    return scores_KN


def assign(scores_KN: np.ndarray, per_concept: int) -> list[int]:
    """Return for each clip its concept, -1 for none: best pairs first, at most `per_concept` clips each."""
    owners, counts = [-1] * scores_KN.shape[1], [0] * len(scores_KN)
    for flat in np.argsort(-scores_KN, axis=None, kind="stable"):
        k, n = divmod(int(flat), scores_KN.shape[1])
        if scores_KN[k, n] <= 0:
            break
        if owners[n] < 0 and counts[k] < per_concept:
            owners[n] = k
            counts[k] += 1
    return owners


def read_seeds(path: Path, concepts: list[str], rows: list[dict[str, Any]]) -> dict[str, list[int]]:
    """Return positions of the clips picked for each concept, from a CSV with the columns id and concept."""
    positions = {row["id"]: i for i, row in enumerate(rows)}
    seeds: dict[str, list[int]] = {}
    for number, line in enumerate(csv.DictReader(_read(path).splitlines()), 2):
        name, concept = line.get("id"), line.get("concept")
        if concept not in concepts:
            raise UserError(f"finetuning.seeds={path}:{number}: {concept!r} is not in finetuning.concepts")
        if name in positions:  # seeds that the funnel rejected cannot lead to neighbors
            seeds.setdefault(concept, []).append(positions[name])
    return seeds


def apply_decisions(funnel: Funnel, config: FinetuningConfig) -> None:
    """Keep the clips accepted in decisions.json, with their trims, captions and labels; the others leave.

    Raises:
        UserError: not a file of the review page, or it names clips that are not in the pool.
    """
    if not config.decisions:
        return
    decisions = read_decisions(Path(config.decisions))
    rows = funnel.kept
    unknown = set(decisions) - {row["id"] for row in funnel.rows}
    if unknown:
        raise UserError(
            f"finetuning.decisions={config.decisions}: no clip {sorted(unknown)[0]!r} in this pool"
        )
    for row in rows:
        decision = decisions.get(row["id"], {})
        if decision.get("verdict") != "accept":
            reasons = ", ".join(decision.get("flaws", [])) or "rejected by hand"
            row["step"], row["reason"] = MANUAL, reasons if decision else "not reviewed"
            continue
        row["start_s"] = float(decision.get("start", row["start_s"]))
        row["end_s"] = float(decision.get("end", row["end_s"]))
        caption = " ".join(str(decision.get("caption", "")).split())
        row["captions"] = [caption] if caption else row["captions"]
        row["framing"] = decision.get("framing") or None
    left = sum(not row["step"] for row in rows)
    funnel.counts.append(StepCount(MANUAL, len(rows), left, 0, f"{len(decisions)} decisions"))


def read_decisions(path: Path) -> dict[str, dict[str, Any]]:
    """Return the decisions by clip, as the review page saves them."""
    try:
        saved = json.loads(_read(path))
        decisions = {each["id"]: each for each in saved["decisions"]}
    except (ValueError, KeyError, TypeError):
        raise UserError(f"finetuning.decisions={path}: not a file saved by review.html") from None
    for name, each in decisions.items():
        start, end = each.get("start"), each.get("end")
        if start is not None and end is not None and not 0 <= start < end:
            raise UserError(f"finetuning.decisions={path}: {name}: {start:g} to {end:g} s is no stretch")
    return decisions


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
