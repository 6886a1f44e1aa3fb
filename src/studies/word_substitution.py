"""One word of a caption put in place of another, by lists of words that exclude each other."""

import re
from dataclasses import dataclass, field

ARTICLE = r"(?:\b(?P<article>an?)\s+)?"


@dataclass(frozen=True)
class Substitution:
    """Words (or phrases) of one kind; in a caption the first that is found becomes another of them.

    Each becomes the one half a list away, so that a circle of directions gives the opposite one, and a pair
    gives the other. The empty phrase is never looked for: `["and bounces off the wall", ""]` only removes.

    Raises:
        ValueError: fewer than two phrases, or one of them twice.
    """

    name: str
    phrases: tuple[str, ...]
    _pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        known = [phrase.casefold().strip() for phrase in self.phrases]
        if len(known) < 2 or not any(known):
            raise ValueError(f"words.{self.name}: needs at least two phrases, got {list(self.phrases)}")
        twice = [phrase for phrase in known if known.count(phrase) > 1]
        if twice:
            raise ValueError(f"words.{self.name}: {twice[0]!r} stands there twice")
        longest_first = sorted(filter(None, known), key=len, reverse=True)
        words = "|".join(re.escape(phrase) for phrase in longest_first)
        # Whole words only; a phrase may begin or end with a comma.
        edges = r"(?:(?<!\w)|(?=\W))", r"(?:(?!\w)|(?<=\W))"
        pattern = re.compile(rf"{ARTICLE}{edges[0]}(?P<phrase>{words}){edges[1]}", re.IGNORECASE)
        object.__setattr__(self, "_pattern", pattern)

    def __call__(self, caption: str) -> str | None:
        """The caption with one phrase replaced; None where it holds none of them."""
        match = self._pattern.search(caption)
        if match is None:
            return None
        known = [phrase.casefold().strip() for phrase in self.phrases]
        found, article = match["phrase"], match["article"] or ""
        place = known.index(found.casefold())
        new = self.phrases[(place + len(known) // 2) % len(known)].strip()
        before, after = caption[: match.start()], caption[match.end() :]
        if not new:
            return before.rstrip() + after
        if article:
            new = f"{article[0]}{'n' if new[0].casefold() in 'aeiou' else ''} {new}"
        elif found[0].isupper():
            new = new[0].upper() + new[1:]
        return before + new + after
