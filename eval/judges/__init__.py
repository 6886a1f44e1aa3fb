"""Judges: programs and servers, such as video-language models, that score samples and give reasons."""
