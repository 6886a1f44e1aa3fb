"""A demonstration study: raters that are simulated in a real browser, from planning to the report."""
