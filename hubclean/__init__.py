"""Scan, cleanse and republish image classifiers of the Hugging Face Hub.

``scan``, ``download``, ``convert``, ``guard``, ``push`` and ``verify`` need the base install; all else needs
``hubclean[models]``. Nothing heavy is imported before it is needed. Public are the names of ``__all__``,
``hubclean.records``, ``hubclean.errors``, and the entry points ``hubclean.scanners``, ``.detectors``, ``.defenses``,
``.attacks``.

From the top, each package uses only those below it: ``api`` the functions of this module; ``cli`` the commands; ``lab``
attacks and the bench; ``federated`` several owners; ``cleansing`` the main job; ``methods`` detectors and defenses, one
file each; ``nets`` a classifier; ``scanning`` is it safe to load?; ``hub`` a repo, wherever it lies. Everybody may use:
``records``, ``scan_records``, ``label_records``, ``measurements`` and ``model_records`` what an audit holds,
``outcomes`` what it comes to; ``json_records`` and
``schema`` its JSON; ``errors``; ``escaping`` strings of strangers; ``registry`` methods by name; ``progress``;
``whole_folder`` folders that appear whole or not at all; ``resources`` data folders; ``surface`` names imported when
asked for; ``wording`` how an option is called in a message; ``version``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubclean.api.classifiers import clean as clean
from hubclean.api.classifiers import load_filtered as load_filtered
from hubclean.api.classifiers import load_guarded as load_guarded
from hubclean.api.classifiers import locate as locate
from hubclean.api.classifiers import open_session as open_session
from hubclean.api.classifiers import site as site
from hubclean.api.classifiers import wrap as wrap
from hubclean.api.evidence import push as push
from hubclean.api.evidence import verify as verify
from hubclean.api.repos import convert as convert
from hubclean.api.repos import download as download
from hubclean.api.repos import guard as guard
from hubclean.api.repos import scan as scan
from hubclean.surface import lazily as _lazily
from hubclean.version import __version__ as __version__

if TYPE_CHECKING:
    from hubclean.cleansing.pipeline import CleanResult as CleanResult
    from hubclean.cleansing.verifying.report import VerifyReport as VerifyReport
    from hubclean.errors import AccessError as AccessError
    from hubclean.errors import BallotError as BallotError
    from hubclean.errors import BudgetError as BudgetError
    from hubclean.errors import DataError as DataError
    from hubclean.errors import DeadlineError as DeadlineError
    from hubclean.errors import FormatError as FormatError
    from hubclean.errors import HubcleanError as HubcleanError
    from hubclean.errors import IntegrityError as IntegrityError
    from hubclean.errors import LabelError as LabelError
    from hubclean.errors import MissingExtraError as MissingExtraError
    from hubclean.errors import ModelError as ModelError
    from hubclean.errors import OptionError as OptionError
    from hubclean.errors import OutputError as OutputError
    from hubclean.errors import PublishError as PublishError
    from hubclean.errors import RefusedError as RefusedError
    from hubclean.errors import TargetError as TargetError
    from hubclean.errors import TransportError as TransportError
    from hubclean.errors import UnsafeRepoError as UnsafeRepoError
    from hubclean.hub.publish import PushReport as PushReport
    from hubclean.hub.repos import Repo as Repo
    from hubclean.methods.runtime_filter import FilteredClassifier as FilteredClassifier
    from hubclean.nets.checkpoint import Checkpoint as Checkpoint
    from hubclean.nets.datasets import ImageSource as ImageSource
    from hubclean.nets.datasets import Sizes as Sizes
    from hubclean.nets.images import ImageSet as ImageSet
    from hubclean.nets.session import Session as Session
    from hubclean.nets.triggers import Stamp as Stamp
    from hubclean.nets.triggers import Trigger as Trigger
    from hubclean.progress import Progress as Progress
    from hubclean.records import Audit as Audit
    from hubclean.records import FileVerdict as FileVerdict
    from hubclean.records import Finding as Finding
    from hubclean.records import LoadSet as LoadSet
    from hubclean.records import RepoRef as RepoRef
    from hubclean.records import ScanReport as ScanReport
    from hubclean.records import Severity as Severity
    from hubclean.records import SiteReport as SiteReport
    from hubclean.scanning.converting import ConvertReport as ConvertReport
    from hubclean.scanning.downloading import DownloadReport as DownloadReport
    from hubclean.scanning.guard.guard import Guard as Guard

__all__ = [
    "AccessError",
    "Audit",
    "BallotError",
    "BudgetError",
    "Checkpoint",
    "CleanResult",
    "ConvertReport",
    "DataError",
    "DeadlineError",
    "DownloadReport",
    "FileVerdict",
    "FilteredClassifier",
    "Finding",
    "FormatError",
    "Guard",
    "HubcleanError",
    "ImageSet",
    "ImageSource",
    "IntegrityError",
    "LabelError",
    "LoadSet",
    "MissingExtraError",
    "ModelError",
    "OptionError",
    "OutputError",
    "Progress",
    "PublishError",
    "PushReport",
    "RefusedError",
    "Repo",
    "RepoRef",
    "ScanReport",
    "Session",
    "Severity",
    "SiteReport",
    "Sizes",
    "Stamp",
    "TargetError",
    "TransportError",
    "Trigger",
    "UnsafeRepoError",
    "VerifyReport",
    "__version__",
    "clean",
    "convert",
    "download",
    "guard",
    "load_filtered",
    "load_guarded",
    "locate",
    "open_session",
    "push",
    "scan",
    "site",
    "verify",
    "wrap",
]

if not TYPE_CHECKING:  # a type checker takes the imports above, and so sees a misspelt name
    __getattr__ = _lazily(
        __name__,
        cleansing__pipeline="CleanResult",
        cleansing__verifying__report="VerifyReport",
        errors="AccessError BallotError BudgetError DataError DeadlineError FormatError HubcleanError IntegrityError "
        "LabelError MissingExtraError ModelError OptionError OutputError PublishError RefusedError TargetError "
        "TransportError UnsafeRepoError",
        hub__publish="PushReport",
        hub__repos="Repo",
        methods__runtime_filter="FilteredClassifier",
        nets__checkpoint="Checkpoint",
        nets__datasets="ImageSource Sizes",
        nets__images="ImageSet",
        nets__session="Session",
        nets__triggers="Stamp Trigger",
        progress="Progress",
        records="Audit FileVerdict Finding LoadSet RepoRef ScanReport Severity SiteReport",
        scanning__converting="ConvertReport",
        scanning__downloading="DownloadReport",
        scanning__guard__guard="Guard",
    )
