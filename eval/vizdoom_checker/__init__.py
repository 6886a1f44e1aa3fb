"""Checker of game audio: the player's own shots and the sides of audio sources, from audio alone.

`spectrum` (mel magnitudes), `templates` (how each weapon begins), `shots`, `sides`, `metric` (for
`eval.run`), `calibrate` (templates from recordings with known shots), `validate` (accuracy on such
recordings). See docs/vizdoom.md.
"""
