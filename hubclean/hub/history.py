"""Whose a commit is: everybody's pull request is a commit of the repo, too, and can be read under its name."""

from __future__ import annotations

from itertools import islice

from huggingface_hub.utils import build_hf_headers, paginate  # type: ignore[attr-defined]

from hubclean.hub import deadline
from hubclean.hub.client_watch import watched
from hubclean.hub.hub_repo import api_of
from hubclean.hub.transport import retrying
from hubclean.version import __version__

MOST_COMMITS = 2000  # that are looked through, the newest first


def on_main(repo_id: str, commit: str) -> bool:
    """Whether a commit is among the last ``MOST_COMMITS`` of a model's main branch.

    Raises:
        HubcleanError: the Hub could not be asked.
    """
    api = api_of(None, None)
    headers = build_hf_headers(token=None, library_name="hubclean", library_version=__version__)

    def ask() -> bool:
        with watched(api.endpoint):
            rows = paginate(f"{api.endpoint}/api/models/{repo_id}/commits/main", params={}, headers=headers)
            return any(isinstance(row, dict) and row.get("id") == commit for row in islice(rows, MOST_COMMITS))

    return deadline.bounded(lambda: retrying(ask, repo_id, "main"))
