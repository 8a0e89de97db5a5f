"""API Gateway's WebSocket semantics, and a Chalice project's HTTP routes, on one machine.

It knows no application: it is handed a loaded Chalice app and, where the app has one, the
definition of its WebSocket API. Nothing here ships to Lambda.
"""
