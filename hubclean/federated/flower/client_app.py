"""The Flower ClientApp of an honest data owner: ``hubclean.federated.flower.client_app:app``."""

from __future__ import annotations

from collections.abc import Callable

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from hubclean.federated import settings
from hubclean.federated.flower.records import pack_answer, unpack_question
from hubclean.federated.participants import Member


def honest(context: Context) -> Member:
    """The participant of a node."""
    return settings.participant(settings.read_settings(context.run_config), context.node_config)


def made(member: Callable[[Context], Member]) -> ClientApp:
    """A ClientApp that answers the four questions with whatever ``member`` makes of a node's context."""

    def answered(message: Message, context: Context) -> Message:
        question, state = unpack_question(message.content)
        return Message(pack_answer(member(context).answer(question, state)), reply_to=message)

    app = ClientApp()
    app.query("rank")(answered)
    app.evaluate("curve")(answered)
    app.evaluate("accuracy")(answered)
    app.train("train")(answered)
    return app


app = made(honest)
