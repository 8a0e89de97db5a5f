"""Portcullis: what ships beside ``app.py``. Knows neither Chalice nor, outside bootstrap, boto3."""

__version__ = "0.1.0"
