import numpy as np
import pytest
import torch

from eval.distribution.inception_score import inception_score, kl_to_marginal, paired_kl, softmax
from tests.fixtures.feature_sets import normal


def test_inception_score():
    sure = np.tile(np.eye(4), (30, 1))
    assert inception_score(sure, num_splits=2)[0] == pytest.approx(4)
    assert inception_score(np.full((40, 7), 1 / 7))[0] == pytest.approx(1)
    p = softmax(normal(0, 100, 9, 2))
    marginal = p.mean(0)
    assert np.exp(kl_to_marginal(p).mean()) == pytest.approx(np.exp((p * np.log(p / marginal)).sum(1).mean()))
    with pytest.raises(ValueError, match="expected at least 20 rows, got 19"):
        inception_score(p[:19])
    with pytest.raises(ValueError, match="sum to 1"):
        kl_to_marginal(p * 2)


def test_large_logits_do_not_overflow():
    np.testing.assert_allclose(softmax([[1000.0, 1000.0, 0.0]]), [[0.5, 0.5, 0.0]])
    np.testing.assert_allclose(softmax([[-1000.0, -1001.0]]), [[0.731058578, 0.268941421]], rtol=1e-8)


def test_inception_score_against_torch_fidelity():
    fidelity = pytest.importorskip("torch_fidelity.metric_isc")
    logits = normal(0, 200, 9, 2)
    theirs = fidelity.isc_features_to_metric(
        torch.from_numpy(logits), splits=10, shuffle=False, rng_seed=None
    )
    mean, std = inception_score(softmax(logits))
    assert mean == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
    assert std == pytest.approx(theirs["inception_score_std"], rel=1e-9)


def test_paired_divergence():
    p, q = softmax(normal(0, 20, 5)), softmax(normal(1, 20, 5))
    np.testing.assert_allclose(paired_kl(p, q), (p * np.log(p / q)).sum(1), rtol=1e-3, atol=1e-4)
    assert np.abs(paired_kl(p, p)).max() < 1e-4
    one = np.eye(3)
    np.testing.assert_allclose(paired_kl(one, one[::-1])[0], -np.log(1e-6), rtol=1e-6)
    with pytest.raises(ValueError, match="shape mismatch of pairs"):
        paired_kl(p, q[:3])
