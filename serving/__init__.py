"""Everything between a promoted model and its clients."""
