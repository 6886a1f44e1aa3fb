from dataclasses import replace
from importlib.util import find_spec

from eval.sanity import trends
from eval.sanity.media_trials import Trial
from eval.sanity.trends import TRIALS, Trend, run_trials, trend_table


def test_every_value_moves_as_expected():
    found, missing = run_trials(num=1)
    packages = "imageio_ffmpeg", "skvideo", "torchcrepe", "rapidocr_onnxruntime"
    assert bool(missing) == any(find_spec(package) is None for package in packages)
    assert [(f.trial, f.value, f.means) for f in found if not f.as_expected] == []
    assert sum(f.monotonic for f in found) >= 0.85 * len(found)


def test_common_degradations_are_tried():
    tried = " ".join(trial.name for trial in TRIALS)
    for name in ("blur", "noise", "freeze", "shuffle", "reversed time", "desync by k x 40 ms", "silence",
                 "clipping", "wrong caption", "wrong color"):  # fmt: skip
        assert name in tried


def test_the_table_names_what_went_wrong():
    good, bad = Trend("x", "psnr", -1, (3.0, 2.0, 2.5)), Trend("x", "ssim", 1, (3.0, 2.0))
    assert (good.as_expected, good.monotonic, bad.as_expected) == (True, False, False)
    calm, wild = Trend("x", "motion", 0, (1.0, 0.98, 1.0)), Trend("x", "motion", 0, (1.0, 0.5, 1.0))
    assert (calm.as_expected, calm.monotonic, wild.as_expected, wild.monotonic) == (True, True, True, False)
    assert not Trend("x", "motion", 0, (1.0, 0.9)).as_expected
    assert "| x | ssim | rise | 3, 2 | **no** | no |" in trend_table([good, bad], [])
    assert trend_table([good], ["y: needs z"]).endswith("| no |\n\n- not run: y: needs z\n")


def test_what_is_not_installed_is_named(monkeypatch):
    def absent():
        raise ValueError("needs pip install z")

    trial = Trial("a", (0, 1), lambda seed, strength: {"v": strength}, {"v": 1})
    monkeypatch.setattr(trends, "TRIALS", (trial, replace(trial, name="b", require=absent)))
    found, missing = run_trials(num=1)
    assert [each.trial for each in found] == ["a"]
    assert missing == ["b: needs pip install z"]
