"""Teaches ``chalice deploy`` and ``chalice package`` what Chalice's decorators cannot say.

An authorizer on ``$connect``, routes with mapping templates, tables and queues, a role for each
function that names exactly what it may touch. Development time only: nothing here ships.
"""

from deployment.extension import install

__all__ = ["install"]
