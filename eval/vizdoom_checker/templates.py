"""Templates of weapons: mel magnitudes of the first 100 ms of a shot, averaged over recordings.

Legend: K steps of a template, F mel bands.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.vizdoom_checker.spectrum import HOP_S

PATH = Path(__file__).with_name("templates.json")
NUM_STEPS = 20
NOTICE = (
    "Mel magnitudes of Freedoom's weapons, derived from audio under the BSD-3-Clause license, "
    "Copyright the Freedoom project's contributors."
)


@dataclass(frozen=True)
class Templates:
    """By weapon: magnitudes [K, F], and the similarity from which on a shot is recognized."""

    magnitudes: dict[str, NDArray[np.float32]]
    thresholds: dict[str, float]

    def write(self, path: Path) -> None:
        """Write as JSON, magnitudes in units of 1e-5."""
        weapons = {name: np.rint(each * 1e5).astype(int).tolist() for name, each in self.magnitudes.items()}
        content = {"notice": NOTICE, "step_s": HOP_S, "thresholds": self.thresholds, "weapons": weapons}
        path.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


def read_templates(path: Path = PATH) -> Templates:
    """Return the templates of a file, as `Templates.write` writes it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    weapons = {name: np.array(each, np.float32) * 1e-5 for name, each in content["weapons"].items()}
    return Templates(weapons, content["thresholds"])
