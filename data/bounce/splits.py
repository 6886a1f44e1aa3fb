"""Which films are for training and which for testing, decided by what a film shows and not by its seed.

Two nested promises, both by construction and for any number of training films:

- *held out*: the pairs in `vocabulary.HELD_OUT` (a shape with a colour, a shape with a direction) are in
  no film for training;
- *test*: of the remaining combinations (camera, and each object's shape, colour, motion) one in eight,
  chosen by a hash, is shown only by films of the test split. A caption always tells its combination, so
  no test prompt is ever a caption of a training film.

Images (single frames) have no motion and are not split beyond the held-out pairs.
"""

import hashlib

from data.bounce.config import WorldConfig
from data.bounce.facts import VideoFacts
from data.bounce.vocabulary import held_out

TEST_ONE_IN = 8


def has_held_out(facts: VideoFacts) -> bool:
    """Whether any object shows a held-out pair."""
    return any(held_out(o.shape, o.colour, o.direction) for o in facts.objects)


def is_test(facts: VideoFacts) -> bool:
    """Whether the film's combination is reserved for the test split."""
    if facts.is_image:
        return False
    digest = hashlib.blake2b(repr(facts.combination()).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") % TEST_ONE_IN == 0


def belongs(facts: VideoFacts, config: WorldConfig) -> bool:
    """Whether a film of these facts is in the world that `config` describes."""
    if config.holdout == "only":
        return has_held_out(facts)  # never trained on, whatever the split
    if config.holdout == "exclude" and has_held_out(facts):
        return False
    return config.split == "all" or facts.is_image or is_test(facts) == (config.split == "test")
