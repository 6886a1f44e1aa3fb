"""Joint features of audio, video and text, trained by contrast (the paper's CAVTP; Movie Gen, sec. 6.2)."""
