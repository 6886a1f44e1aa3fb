"""Near duplicates: hashes, groups, the representative."""

from typing import Any

import numpy as np
import pytest
import torch

from data.curation import fingerprints, near_duplicates
from data.curation.config import DuplicatesConfig
from tests.fixtures.curation import noise_image


def clip(name: str, embedding: list[float], image: np.ndarray, width: int = 256) -> dict[str, Any]:
    unit = np.array(embedding) / np.linalg.norm(embedding)
    row = {"id": name, "embedding": unit, "hashes": [fingerprints.perceptual_hash(image)]}
    return row | {"width": width, "height": 256, "duration_s": 5.0}


def test_a_hash_survives_brightness_and_size_and_tells_images_apart() -> None:
    image = noise_image(128, 192)
    darker = (image[::2, ::2] * 0.8).astype(np.uint8)
    hashes = [
        np.array([fingerprints.perceptual_hash(x)], np.uint64)
        for x in (image, darker, noise_image(128, 192, 9))
    ]
    assert fingerprints.hash_distances(hashes[0], hashes[1])[0, 0] <= 6
    assert fingerprints.hash_distances(hashes[0], hashes[2])[0, 0] > 15


@pytest.mark.parametrize("shape", [(128, 192), (200, 120)])
def test_a_mirrored_copy_has_the_same_hash(shape: tuple[int, int]) -> None:
    image = noise_image(*shape)
    plain, mirrored = (
        np.array([fingerprints.perceptual_hash(x)], np.uint64) for x in (image, image[:, ::-1].copy())
    )
    assert np.bitwise_count(plain ^ mirrored)[0] > 20
    assert fingerprints.hash_distances(plain, mirrored)[0, 0] <= 2


def test_groups_are_connected_and_keep_the_clip_of_most_pixels() -> None:
    image, other = noise_image(64, 64), noise_image(64, 64, 5)
    rows = [
        clip("a", [1, 0, 0], image),
        clip("b", [1, 0.2, 0], image, width=512),
        clip("c", [1, 0.4, 0], image),
        clip("d", [0, 0, 1], image),  # another embedding
        clip("e", [1, 0, 0], other),  # other hashes
    ]
    config = DuplicatesConfig(cosine=0.97, max_bits=8)
    assert near_duplicates.find_groups(rows, config) == [1, 1, 1, 3, 4]
    assert near_duplicates.find_groups(rows, DuplicatesConfig(cosine=0.97, max_bits=64))[4] == 1


def test_clips_without_an_embedding_are_their_own() -> None:
    rows = [{"id": "a", "embedding": None, "width": 1, "height": 1, "duration_s": 1.0} for _ in range(2)]
    assert near_duplicates.find_groups(rows, DuplicatesConfig()) == [0, 1]


def test_blocks_do_not_change_the_pairs(monkeypatch) -> None:
    rows = [clip(str(i), [1, 0.001 * i, 0], noise_image(64, 64)) for i in range(7)]
    monkeypatch.setattr(near_duplicates, "BLOCK", 2)
    assert near_duplicates.find_groups(rows, DuplicatesConfig(cosine=0.9)) == [0] * 7


class Means(torch.nn.Module):
    """A stand-in of SSCD: the means of the four quarters of each channel."""

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(x_NCHW, 2).flatten(1)


def test_copy_detection_is_loaded_by_path(tmp_path) -> None:
    from tests.fixtures.network_checkpoints import save_script

    path = save_script(Means(), tmp_path / "sscd.pt")
    stills = np.stack([noise_image(64, 96, seed) for seed in range(3)])
    found = fingerprints.embed(stills, str(path))
    assert found.shape == (12,)
    assert np.linalg.norm(found) == np.float32(1) or abs(np.linalg.norm(found) - 1) < 1e-5
