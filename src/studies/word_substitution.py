"""Replace one phrase of a caption by another, from lists of mutually exclusive phrases."""

import re
from dataclasses import dataclass, field

ARTICLE = r"(?:\b(?P<article>an?)\s+)?"


@dataclass(frozen=True)
class WordSubstitution:
    """Phrases of one kind; the first one found in a caption is replaced by another of them.

    Each is replaced by the one half a list away, so that a circle of directions gives the opposite one, and a
    pair gives the other. The empty phrase is never searched for: `["and bounces off the wall", ""]` only
    removes.

    Raises:
        ValueError: fewer than two phrases, or a duplicate.
    """

    name: str
    phrases: tuple[str, ...]
    _pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        known = self._normalized()
        if len(known) < 2 or not any(known):
            raise ValueError(f"words.{self.name}: needs at least two phrases, got {list(self.phrases)}")
        duplicates = [phrase for phrase in known if known.count(phrase) > 1]
        if duplicates:
            raise ValueError(f"words.{self.name}: duplicate phrase {duplicates[0]!r}")
        longest_first = sorted(filter(None, known), key=len, reverse=True)
        alternatives = "|".join(re.escape(phrase) for phrase in longest_first)
        # Whole words only; a phrase may begin or end with a comma.
        start, end = r"(?:(?<!\w)|(?=\W))", r"(?:(?!\w)|(?<=\W))"
        pattern = re.compile(rf"{ARTICLE}{start}(?P<phrase>{alternatives}){end}", re.IGNORECASE)
        object.__setattr__(self, "_pattern", pattern)

    def _normalized(self) -> list[str]:
        return [phrase.casefold().strip() for phrase in self.phrases]

    def __call__(self, caption: str) -> str | None:
        """Return the caption with one phrase replaced, or None if it contains none of them."""
        match = self._pattern.search(caption)
        if match is None:
            return None
        found, article = match["phrase"], match["article"] or ""
        index = self._normalized().index(found.casefold())
        new = self.phrases[(index + len(self.phrases) // 2) % len(self.phrases)].strip()
        before, after = caption[: match.start()], caption[match.end() :]
        if not new:
            return before.rstrip() + after
        if article:  # "a" or "an" by the new phrase, capitalized as the old article was
            new = f"{article[0]}{'n' if new[0].casefold() in 'aeiou' else ''} {new}"
        elif found[0].isupper():
            new = new[0].upper() + new[1:]
        return before + new + after
