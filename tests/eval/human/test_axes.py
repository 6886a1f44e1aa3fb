from pathlib import Path

import pytest

from eval.human.axes import axes_table, load_templates, select_axes
from eval.human.config import LANGUAGES

# every axis of the paper's protocol (Movie Gen, sec. 3.5, 4, 5, 6)
PAPER = [
    "text_subject",
    "text_motion",
    "visual_overall",
    "frame_consistency",
    "motion_completeness",
    "motion_naturalness",
    "realness",
    "aesthetics",
    "audio_overall",
    "audio_naturalness",
    "audio_professionalness",
    "av_correctness",
    "av_synchronization",
    "music_mood",
    "music_scene",
    "audio_text_precision",
    "audio_text_recall",
    "identity_best",
    "identity_worst",
    "face_consistency",
    "edit_text",
    "edit_structure",
    "edit_quality",
    "image_text",
    "image_quality",
]

OWN = """
defaults: {family: quality, media: video, audible: false}
axes:
  sharpness:
    answer: choice
    name: Sharpness
    question: Sharper?
    instructions: Look closely.
    options: {left: {en: L}, right: {en: R}, equal: {en: E}}
    gold: [blur]
    examples: [blur]
"""


def own(tmp_path: Path, text: str = OWN) -> str:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    return str(path)


def test_the_papers_axes_are_shipped_in_three_languages() -> None:
    axes = {name: axis for group in load_templates().values() for name, axis in group.items()}
    assert set(PAPER) <= axes.keys()
    for axis in axes.values():
        texts = [axis.name, axis.question, axis.instructions, *axis.options.values()]
        texts += [example.explanation for example in axis.examples]
        assert all(text.get(language) for text in texts for language in LANGUAGES), axis.id
        assert axis.examples
        assert axis.gold
        assert axis.num_qualification >= axis.min_correct >= 1
    assert axes["realness"].num_raters == axes["aesthetics"].num_raters == 6
    assert {axis.answer for axis in axes.values()} == {"choice", "rating", "mushra", "ranking"}
    assert {axis.family for axis in axes.values()} == {"quality", "alignment"}
    assert "visual_overall" in axes_table()


def test_groups_own_axes_and_mistakes(tmp_path: Path) -> None:
    assert [axis.id for axis in select_axes(["text_alignment", "realness", "text_motion"])] == [
        "text_subject",
        "text_motion",
        "realness",
    ]
    (axis,) = select_axes(["own"], [own(tmp_path)], LANGUAGES)
    assert axis.question["zh"] == "Sharper?"
    with pytest.raises(ValueError, match="unknown axis or group 'realnes'; did you mean realness"):
        select_axes(["realnes"])
    broken = [
        ("answer: choice", "answer: stars", "expected one of choice, rating"),
        ("gold: [blur]", "gold: [blurr]", "unknown degradation 'blurr'"),
        ("examples: [blur]", "examples: [blurry]", "examples: no explanation of 'blurry'; add one"),
        ("question: Sharper?", "question: {en: Sharper}", "question: no text in de"),
        (", equal: {en: E}", "", "options: expected left, right, equal"),
        ("    gold:", "    gould:", "unknown key 'gould'; did you mean gold"),
        ("axes:", "axes: [", "not valid YAML"),
    ]
    for old, new, message in broken:
        with pytest.raises(ValueError, match=message):
            select_axes(["own"], [own(tmp_path, OWN.replace(old, new))], LANGUAGES)
