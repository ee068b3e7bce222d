"""One script per benchmark, run by `make bench-…`."""
