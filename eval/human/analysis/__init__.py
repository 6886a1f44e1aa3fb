"""Statistics of votes: net win rates, reliability, ratings of systems, quality of raters."""
