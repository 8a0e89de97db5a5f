"""A command line client of the WebSocket API: ``python -m wsclient``.

It speaks over the wire alone, as any client does, and knows nothing of the server's code.
"""
