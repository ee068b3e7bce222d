"""One script a benchmark; each runs the peer and this project side by side. `make bench-…` runs them."""
