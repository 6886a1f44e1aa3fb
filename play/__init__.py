"""A local page to play with a video model: `python -m play`, docs/play.md."""
