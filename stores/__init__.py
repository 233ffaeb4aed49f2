"""Stores of mergeable states: backends, the ledger of merged segments, queries."""
