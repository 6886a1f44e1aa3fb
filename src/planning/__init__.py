"""Memory, time and cost of training stages before they run."""
