"""Caption of audio in four sentences: quality, voice and music, description, music (Movie Gen, sec. 6).

    This audio has quality: 8.0.
    This audio does not contain speech. This audio does not contain vocal singing. This audio contains music
    with a 0.90 likelihood.
    This audio has a description: "...".
    This audio has a music description (if applicable): "...".

The quality is a condition, not a filter: in training the score of the clip, at inference what is asked for.
"""

import re
from dataclasses import dataclass

NO_MUSIC = "none"
_FORM = re.compile(
    r"This audio has quality: (?P<quality>\d+\.\d)\. "
    r"This audio (?P<speech>contains|does not contain) speech\. "
    r"This audio (?P<singing>contains|does not contain) vocal singing\. "
    r"This audio contains music with a (?P<music>[01]\.\d\d) likelihood\. "
    r'This audio has a description: "(?P<description>.*?)"\. '
    r'This audio has a music description \(if applicable\): "(?P<music_description>.*)"\.',
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class AudioCaption:
    """Statements of an audio caption; `text` writes it, `parse` reads it.

    `quality` is a score from 1 to 10, `music_likelihood` a probability.
    """

    description: str
    quality: float = 8.0
    has_speech: bool = False
    has_singing: bool = False
    music_likelihood: float = 0.0
    music_description: str = NO_MUSIC

    def __post_init__(self) -> None:
        if not 0 <= self.quality <= 10:
            raise ValueError(f"quality={self.quality}: a score from 1 to 10")
        if not 0 <= self.music_likelihood <= 1:
            raise ValueError(f"music_likelihood={self.music_likelihood}: a probability from 0 to 1")

    def text(self) -> str:
        """Return the sentences."""
        return (
            f"This audio has quality: {self.quality:.1f}. "
            f"This audio {_contains(self.has_speech)} speech. "
            f"This audio {_contains(self.has_singing)} vocal singing. "
            f"This audio contains music with a {self.music_likelihood:.2f} likelihood. "
            f'This audio has a description: "{_quoted(self.description)}". '
            f'This audio has a music description (if applicable): "{_quoted(self.music_description)}".'
        )

    @staticmethod
    def parse(text: str) -> "AudioCaption | None":
        """Return what a caption states; None for a text of another form."""
        found = _FORM.fullmatch(text.strip())
        if found is None or float(found["quality"]) > 10 or float(found["music"]) > 1:
            return None
        return AudioCaption(
            quality=float(found["quality"]),
            has_speech=found["speech"] == "contains",
            has_singing=found["singing"] == "contains",
            music_likelihood=float(found["music"]),
            description=found["description"],
            music_description=found["music_description"],
        )


def _contains(present: bool) -> str:
    return "contains" if present else "does not contain"


def _quoted(text: str) -> str:
    """Return a text for a sentence in quotation marks: one line, other marks inside."""
    return " ".join(text.replace('"', "'").split()).rstrip(".")
