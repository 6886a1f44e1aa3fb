"""Studies: kinds of run that train or generate several times and compare."""
