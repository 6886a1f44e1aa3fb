"""Text encoders: one trained jointly with the model, or frozen ones with trained projections."""
