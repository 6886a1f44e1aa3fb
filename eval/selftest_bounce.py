"""The self-test of what is asked for and what comes: Bounce films with wrong captions, colours, order."""

from collections.abc import Callable
from functools import cache

import numpy as np

from data.worlds.bounce import Film, film
from data.worlds.config import WorldConfig
from eval.alignment.bounce import judge, read
from eval.degradations import Degradation, frozen, other_colours, reversed_time, shuffled, unchanged
from eval.selftest_media import FPS, Trial, Values

SET = 8  # films judged together: the strength is the share of them that is spoilt
SIDE, FRAMES = 32, 16
# everything moves and nothing turns back: else a film played backwards may be right
WORLD = WorldConfig(
    max_objects=1, cameras=("static shot",), holdout="include", split="all",
    still_prob=0.0, bounce_prob=0.0, spin_prob=0.0, appear_prob=0.0, vanish_prob=0.0,
)  # fmt: skip


@cache
def bounce(seed: int) -> Film:
    return film(seed, WORLD, num_frames=FRAMES, height=SIDE, width=SIDE, fps=FPS)


def judged(change: Degradation = unchanged, *, wrong_caption: bool = False) -> Callable[[int, float], Values]:
    """Subject and motion of a set, of which a share is changed or judged by the next film's facts."""

    def measure(seed: int, share: float) -> Values:
        verdicts = []
        for place in range(SET):
            index, spoilt = seed * SET + place, place < round(share * SET)
            clip = bounce(index)
            facts = bounce(index + 1).facts if spoilt and wrong_caption else clip.facts
            video = change(clip.video_THWC, index) if spoilt else clip.video_THWC
            verdicts.append(judge(read(video, FPS), facts.to_dict()))
        return {key: float(np.mean([getattr(v, key) for v in verdicts])) for key in ("subject", "motion")}

    return measure


_SHARES = (0, 0.5, 1)
BOUNCE_TRIALS = (
    Trial("wrong caption", _SHARES, judged(wrong_caption=True), {"subject": -1, "motion": -1}),
    Trial("wrong colour", _SHARES, judged(other_colours), {"subject": -1, "motion": 0}),
    Trial("reversed film", _SHARES, judged(reversed_time), {"subject": 0, "motion": -1}),
    Trial("frozen film", _SHARES, judged(frozen), {"subject": 0, "motion": -1}),
    Trial("shuffled film", _SHARES, judged(shuffled), {"subject": 0, "motion": -1}),
)
