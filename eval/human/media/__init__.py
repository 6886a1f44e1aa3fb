"""Copies of clips for browsers: alike in length, size, rate, loudness and bytes, without metadata."""
