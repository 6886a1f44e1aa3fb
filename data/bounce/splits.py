"""Splits into training and test videos by content, not by seed.

Two nested guarantees, both by construction and for any number of training videos:

- *held out*: the pairs in `vocabulary.HELD_OUT` (a shape with a color, a shape with a direction) occur in
  no training video;
- *test*: of the remaining combinations (camera, and each object's shape, color, motion) one in eight,
  chosen by a hash, occurs only in videos of the test split. A caption always states its combination, so
  no test prompt is ever a caption of a training video.

Images (single frames) have no motion and are not split beyond the held-out pairs.
"""

import hashlib

from data.bounce.config import WorldConfig
from data.bounce.facts import VideoFacts
from data.bounce.vocabulary import is_held_out

TEST_ONE_IN = 8


def has_held_out(facts: VideoFacts) -> bool:
    """Return whether any object shows a held-out pair."""
    return any(is_held_out(o.shape, o.color, o.direction) for o in facts.objects)


def is_test(facts: VideoFacts) -> bool:
    """Return whether the combination is reserved for the test split."""
    if facts.is_image:
        return False
    digest = hashlib.blake2b(repr(facts.combination()).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") % TEST_ONE_IN == 0


def is_in_world(facts: VideoFacts, config: WorldConfig) -> bool:
    """Return whether a video with these facts is in the world that `config` describes."""
    if config.holdout == "only":
        return has_held_out(facts)  # never trained on, in either split
    if config.holdout == "exclude" and has_held_out(facts):
        return False
    return config.split == "all" or facts.is_image or is_test(facts) == (config.split == "test")
