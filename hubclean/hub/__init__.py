"""A repo, wherever it lies: opened, listed, read by range, fetched, published in one commit. No torch.

* ``targets``: what the user named, opened. Start here.
* ``repos``: ``Repo``, ``RepoEntry``, ``LocalRepo``: one interface.
* ``hub_repo``: a repo on a Hub at one commit.
* ``transport``: requests, retries, errors.
* ``deadline``: the time that one call may take.
* ``client_errors``: errors of ``huggingface_hub`` in our words.
* ``publish``: ``push``.
* ``audited_folder``: a folder compared with its own audit.
* ``commits``: one atomic commit.
"""

from typing import TYPE_CHECKING

from hubclean.surface import lazily

if TYPE_CHECKING:
    from hubclean.hub.hub_repo import HubRepo as HubRepo
    from hubclean.hub.publish import PushReport as PushReport
    from hubclean.hub.publish import push as push
    from hubclean.hub.repos import LocalRepo as LocalRepo
    from hubclean.hub.repos import Repo as Repo
    from hubclean.hub.repos import RepoEntry as RepoEntry
    from hubclean.hub.targets import open_target as open_target

__all__ = [
    "HubRepo",
    "LocalRepo",
    "PushReport",
    "Repo",
    "RepoEntry",
    "open_target",
    "push",
]

if not TYPE_CHECKING:
    __getattr__ = lazily(
        __name__,
        hub_repo="HubRepo",
        publish="push PushReport",
        repos="Repo RepoEntry LocalRepo",
        targets="open_target",
    )
