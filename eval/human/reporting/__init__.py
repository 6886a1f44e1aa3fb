"""Reports of a study: results, tables, plots, a page with the videos, a methods paragraph."""
