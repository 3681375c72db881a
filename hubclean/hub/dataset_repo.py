"""A data set on a Hub at one commit: its listing, and files fetched into the Hub's cache, every byte checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from huggingface_hub import constants, hf_hub_download

from hubclean.errors import HubcleanError, IntegrityError
from hubclean.escaping import printable
from hubclean.hub.hub_repo import IN_FLIGHT, api_of, discard, intact, listing
from hubclean.hub.transport import TIMEOUT, retrying
from hubclean.version import __version__


class DatasetRepo:
    """A data set on a Hub, pinned to the commit that ``revision`` names now.

    Raises:
        HubcleanError: as ``hub_repo.HubRepo``.
    """

    def __init__(self, repo_id: str, revision: str | None = None) -> None:
        def ask() -> Any:
            try:
                return api_of(None, None).dataset_info(repo_id, revision=revision, files_metadata=True, timeout=TIMEOUT)
            except (LookupError, TypeError, AttributeError) as error:  # the client takes the answer apart unchecked
                raise IntegrityError(f"the Hub's description of {repo_id} makes no sense") from error

        self.repo_id = repo_id
        info = _told(lambda: retrying(ask, repo_id, revision))
        if not isinstance(info.sha, str) or len(info.sha) != 40:
            raise IntegrityError(f"the Hub names no commit for {repo_id}")
        self.commit: str = info.sha
        self._entries = {entry.path: entry for entry in listing(info)}
        self.paths = tuple(sorted(self._entries))

    def size(self, path: str) -> int:
        """Bytes of a file, as the listing says."""
        return self._entries[path].size

    def fetch(self, paths: Iterable[str]) -> Iterator[tuple[str, Path]]:
        """Each path with where it lies in the cache, in order, some at a time."""
        wanted = list(paths)
        with ThreadPoolExecutor(max_workers=IN_FLIGHT) as pool:
            for start in range(0, len(wanted), 64):
                some = wanted[start : start + 64]
                yield from zip(some, list(pool.map(self._download, some)), strict=True)

    def _download(self, path: str) -> Path:
        entry = self._entries[path]
        if printable(path, 1000) != path:  # bars would show it
            raise IntegrityError(f"{printable(path)!r} is no plain name, so it is not downloaded")
        for _ in range(2):  # bytes that were in the cache before and are bad get one fresh download
            place = Path(
                _told(
                    lambda: retrying(
                        lambda: hf_hub_download(
                            self.repo_id,
                            path,
                            repo_type="dataset",
                            revision=self.commit,
                            library_name="hubclean",
                            library_version=__version__,
                        ),
                        self.repo_id,
                        self.commit,
                        attempts=2,  # the client has its own retries
                    )
                )
            )
            if intact(place, entry):
                return place
            discard(place, Path(constants.HF_HUB_CACHE))
        raise IntegrityError(f"{printable(path)!r} does not have the hash its listing says; it was not kept")


def _told(call: Any) -> Any:
    """Call; errors speak of a data set and not of a model."""
    try:
        return call()
    except HubcleanError as error:
        raise type(error)(str(error).replace("there is no model ", "there is no data set ")) from error
