"""Compares what is deployed with what would be deployed now, and says in plain words what differs.

It only reads. Collecting (``collect``) is apart from judging: each check is a function of what is
expected and of a snapshot.
"""
