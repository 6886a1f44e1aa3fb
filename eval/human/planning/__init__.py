"""From manifests of systems to a plan: samples, items, sides, order, sessions."""
