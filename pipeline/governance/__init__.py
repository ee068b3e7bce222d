"""Who may let a model be pushed, and whether the record of it can be trusted.

`approvals` keeps the requests and decisions, `audit_check` compares the audit log with the metadata store and cards.
"""
