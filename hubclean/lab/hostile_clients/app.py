"""The Flower ClientApp of a red team: honest nodes, and those that the run config makes hostile."""

from __future__ import annotations

from flwr.app import Context

from hubclean.federated import settings
from hubclean.federated.flower import client_app
from hubclean.federated.participants import Member
from hubclean.lab.hostile_clients.behaviours import hostile


def member(context: Context) -> Member:
    """The client of a node: hostile if its ``partition-id`` is among ``hostile-nodes``, or its node config says so.

    ``hostile`` names behaviours with commas, ``hostile-options`` their options, ``NAME.KEY=VALUE`` with blanks between.
    """
    own = settings.participant(settings.read_settings(context.run_config), context.node_config)
    names = str(context.node_config.get("hostile", "")) or str(context.run_config.get("hostile", ""))
    nodes = [int(word) for word in str(context.run_config.get("hostile-nodes", "")).split(",") if word.strip()]
    place = int(context.node_config.get("partition-id", 0))
    if not names or ("hostile" not in context.node_config and place not in nodes):
        return own
    pairs = (word.partition("=") for word in str(context.run_config.get("hostile-options", "")).split())
    given = {key: value for key, _, value in pairs}
    return hostile(own, nodes.index(place) if place in nodes else place, names, given)


app = client_app.made(member)
