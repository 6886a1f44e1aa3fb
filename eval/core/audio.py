"""Audio of samples, with errors that name the file; the reader is `src.core.media_io`."""

from pathlib import Path

from eval.core.video import DecodeError
from src.core.media_io.audio import Audio
from src.core.media_io.audio_reader import read_audio as read
from src.core.media_io.audio_writer import write_audio
from src.core.media_io.errors import MediaError

__all__ = ["Audio", "read_audio", "write_audio"]


def read_audio(path: str | Path) -> Audio:
    """Decode the audio of a file on the clock of its video, at its own rate and with its own channels.

    Raises:
        DecodeError: the file is missing, unreadable or damaged, has no audio or more than eight channels, or
            its rate or channels change.
    """
    try:
        return read(path)
    except MediaError as error:
        raise DecodeError(f"{path}: {error}") from None
