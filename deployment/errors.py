"""What stops a deployment; shown by Chalice's command line without a stack trace."""

import click


class DeploymentRefused(click.ClickException):
    """Going on would deploy something else than what was asked for, perhaps an open API."""
