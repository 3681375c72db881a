"""Several owners of images, one checkpoint, no image sent: by files, or in rounds. Only ``flower`` knows Flower.

* ``by_files``: what participants and whoever counts do, one call a command: rank, tally, feedback. Start here.
* ``questions``: what a server asks, what a client answers, and what is refused.
* ``participants``: an honest client.
* ``rounds``: asking all clients with a quorum.
* ``cleansing``: the defense over rounds: prune, fine-tune, adjust.
* ``averaging``: joining the weights that clients send back.
* ``training``: federated training.
* ``partitions``: one set of images dealt out to simulated clients.
* ``local_crowd``: the clients in this process, no engine, no network.
* ``settings``: the run config of the Flower apps.
* ``flower``: the apps that ``flwr run`` starts; the extra ``hubclean[federated]`` brings Flower.

Clients that attack are in ``hubclean.lab.hostile_clients``, with a client app of their own; nothing here imports
them.
"""

from typing import TYPE_CHECKING

from hubclean.surface import lazily

if TYPE_CHECKING:
    from hubclean.federated.by_files import OwnImages as OwnImages
    from hubclean.federated.by_files import feedback as feedback
    from hubclean.federated.by_files import rank as rank
    from hubclean.federated.by_files import tally as tally
    from hubclean.federated.cleansing import FederatedRounds as FederatedRounds
    from hubclean.federated.local_crowd import LocalCrowd as LocalCrowd
    from hubclean.federated.participants import Participant as Participant

__all__ = [
    "FederatedRounds",
    "LocalCrowd",
    "OwnImages",
    "Participant",
    "feedback",
    "rank",
    "tally",
]

if not TYPE_CHECKING:
    __getattr__ = lazily(
        __name__,
        by_files="rank tally feedback OwnImages",
        cleansing="FederatedRounds",
        local_crowd="LocalCrowd",
        participants="Participant",
    )
