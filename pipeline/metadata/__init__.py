"""The only package that queries ML Metadata, except for components, which run inside of a pipeline.

`connection` opens the store, `graph` answers who made what from what, `lineage` follows a model back to its rows,
`runs` summarizes a run, and `versions` lists the pushed versions.
"""
