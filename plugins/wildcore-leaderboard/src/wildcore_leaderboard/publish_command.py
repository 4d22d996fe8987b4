"""``wildcore publish``."""
import click

@click.command()
def publish() -> None:
    """x"""
