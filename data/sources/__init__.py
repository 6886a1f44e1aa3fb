"""Sources of media: a procedural world, folders and CSVs, or the videos of an installed package."""
