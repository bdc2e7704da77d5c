"""`nonesuch info`: what a server has, and what a model is."""

import json
from dataclasses import asdict

import click

from nonesuch.card import Card, Direction
from nonesuch.cli.options import connected
from nonesuch.client import Client


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per model.")
@connected
def info(client: Client, name: str | None, as_json: bool) -> None:
    """Show the card of model NAME, or list the models that the server has.

    \b
    Examples:
      nonesuch info
      nonesuch info portraits --json | jq .num_ws
    """
    cards = [client.info(one) for one in ([name] if name else client.models())]
    for card in cards:
        click.echo(card.to_json() if as_json else _full(card) if name else _brief(card))
    if not cards:
        click.echo(f"{client.url} has no model that is ready", err=True)


def _brief(card: Card) -> str:
    classes = f", {card.c_dim} classes" if card.c_dim else ""
    return f"{card.name}: {card.family}, {card.width}x{card.height}{classes}"


def _full(card: Card) -> str:
    values = asdict(card) | {"directions": tuple(map(_way, card.directions))}
    return "\n".join(f"{key:18} {_said(value)}" for key, value in values.items())


def _way(direction: Direction) -> str:
    return f"{direction.name} ({direction.first}-{direction.last})"


def _said(value: object) -> str:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "-" if value is None else str(value)
