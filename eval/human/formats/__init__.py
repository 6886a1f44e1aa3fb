"""Layouts of votes of other tools; `eval.human.exchange` reads and writes them."""
