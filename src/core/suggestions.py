"""The nearest known name to a misspelt one, for error messages."""

import difflib
from collections.abc import Collection

MAX_LISTED = 20


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return "did you mean NAME?", or the known names if none is near."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]}?"
    listed = ", ".join(list(known)[:MAX_LISTED]) + ", ..." * (len(known) > MAX_LISTED)
    return f"known: {listed or 'none'}"
