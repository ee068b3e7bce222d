"""The pages: one module a subject, each function answers one address."""
