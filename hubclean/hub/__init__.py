"""A repo, wherever it lies: opened, listed, read by range, fetched, published in one commit. No torch.

* ``targets``: what the user named, opened. Start here.
* ``repos``: ``Repo``, ``RepoEntry``, ``LocalRepo``: one interface.
* ``subfolders``: a folder of a repo as a repo.
* ``hub_repo``: a repo on a Hub at one commit.
* ``dataset_repo``: a data set on a Hub, fetched file by file.
* ``history``: whose a commit is.
* ``cached_repo``: the same from the cache of the Hub's client, without a request.
* ``descriptions``: what a Hub says of a repo.
* ``transport``: reads of files: requests, retries.
* ``pacing``: waits that a Hub asks for.
* ``client_watch``: our rules for what the Hub's client does by itself.
* ``addresses``: whose an address is, which redirects are followed.
* ``deadline``: the time that one call may take.
* ``client_errors``: errors of ``huggingface_hub`` in our words.
* ``publish``: ``push``.
* ``signing``: signs it with a key file.
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
