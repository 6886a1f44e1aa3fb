"""Constructed clips whose right answers are known, and the measurement of the filters on them."""
