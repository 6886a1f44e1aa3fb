"""Where media comes from: a procedural world, folders and CSVs, or the videos of an installed package."""
