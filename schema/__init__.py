"""The contract every other package shares: the curated schema, the names in it, and the errors."""
