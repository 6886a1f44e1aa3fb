"""Flow matching: paths, timesteps, schedules, solvers, guidance. Pure functions; noise is an argument."""
