"""The contract that all packages share: the curated schema, names and ids of an exported model, news items, errors."""
