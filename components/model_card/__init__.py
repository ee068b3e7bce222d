"""The model card: what a review needs to know about a model, written from its run's artifacts."""
