"""The signature of a checkpoint against a key of the user's: a bundle of OpenSSF model-signing 1.x, read by ourselves.

The bundle is a DSSE envelope (github.com/secure-systems-lab/dsse) over an in-toto statement that names the sha256 of
every file. It comes from a stranger: nothing of it is believed before the key's signature on it holds.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Any

from hubclean.cleansing.verifying.files import digest_of
from hubclean.cleansing.verifying.report import Check, Place, concluded
from hubclean.errors import IntegrityError, MissingExtraError, OptionError
from hubclean.escaping import printable
from hubclean.hub.audited_folder import SIGNATURE
from hubclean.hub.repos import Repo, RepoEntry
from hubclean.scanning.formats.strict_json import JsonProblem, read_json

LARGEST = 8 << 20  # bytes of a bundle
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
# What model-signing leaves unsigned in every folder, and a Hub adds by itself.
_UNSIGNED = re.compile(r"\.gitattributes|\.gitignore|\.github/.*", re.DOTALL)
_CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}


def check_signature(repo: Repo, files: dict[str, RepoEntry], key: bytes) -> Check:
    """Whether the holder of a key signed just these files.

    Args:
        key: the public key, as PEM.

    Raises:
        OptionError: it is no public key that can sign a checkpoint.
        MissingExtraError: ``cryptography`` is not installed.
    """
    public = _public(key)
    entry = files.get(SIGNATURE)
    if entry is None or entry.size > LARGEST:
        what = "is not there, so that nobody signed this" if entry is None else f"has {entry.size:,} bytes"
        return concluded("signature", "", [Place(SIGNATURE, what)])
    try:
        signed = signed_files(repo.read(SIGNATURE, LARGEST), public)
    except IntegrityError as error:
        return concluded("signature", "", [Place(SIGNATURE, str(error))])
    places = []
    for path in sorted(signed.keys() | files.keys()):
        if path == SIGNATURE or (path not in signed and _UNSIGNED.fullmatch(path)):
            continue
        if path not in files:
            places.append(Place(path, "is signed, but not here"))
        elif path not in signed:
            places.append(Place(path, "is not signed"))
        elif (digest := digest_of(repo, files[path]).sha256) != signed[path]:
            places.append(Place(path, f"has the sha256 {digest}, signed is {signed[path]}"))
    said = f"{len(signed)} files are those that the holder of the key with sha256 {_fingerprint(public)} signed"
    return concluded("signature", said, places)


def _public(key: bytes) -> Any:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise MissingExtraError("verifying a signature", "sign", "cryptography") from error
    try:
        public = load_pem_public_key(key)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise OptionError("the key is no public key (PEM)") from error
    if not isinstance(public, EllipticCurvePublicKey) or public.curve.name not in _CURVES:
        raise OptionError("the key is none on P-256, P-384 or P-521, with which checkpoints are signed")
    return public


def _fingerprint(public: Any) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def signed_files(bundle: bytes, public: Any) -> dict[str, str]:
    """The sha256 of every file that a bundle names, once its signature holds.

    Raises:
        IntegrityError: it is no bundle, or not signed with this key, or names files in a way that is not understood.
    """
    envelope = _field(_json(bundle, "the bundle"), "dsseEnvelope")
    kind, rows = _field(envelope, "payloadType"), _field(envelope, "signatures")
    if kind != _PAYLOAD or not isinstance(rows, list) or len(rows) != 1:
        raise IntegrityError("is no bundle of model-signing with one signature")
    payload, signature = _bytes(_field(envelope, "payload")), _bytes(_field(rows[0], "sig"))
    _hold(public, signature, b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD), _PAYLOAD.encode(), len(payload), payload))
    statement = _json(payload, "what was signed")
    if _field(statement, "_type") != _STATEMENT or _field(statement, "predicateType") != _PREDICATE:
        raise IntegrityError("signs something else than the files of a checkpoint")
    found: dict[str, str] = {}
    resources = _field(_field(statement, "predicate"), "resources")
    for row in resources if isinstance(resources, list) else ():
        name, algorithm, digest = (_field(row, key) for key in ("name", "algorithm", "digest"))
        if not (isinstance(name, str) and isinstance(digest, str)) or algorithm != "sha256" or name in found:
            raise IntegrityError("names its files in a way that is not understood, or one of them twice")
        found[name] = digest
    return found


def _hold(public: Any, signature: bytes, message: bytes) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    try:
        public.verify(signature, message, ECDSA(getattr(hashes, _CURVES[public.curve.name])()))
    except InvalidSignature as error:
        raise IntegrityError("was not made with this key, or was changed since") from error


def _json(text: bytes, what: str) -> Any:
    try:
        value, twice = read_json(text)
    except JsonProblem as error:
        raise IntegrityError(f"{what} is not JSON: {printable(str(error), 120)}") from error
    if twice:
        raise IntegrityError(f"{what} gives the key {printable(twice[0][0], 60)!r} twice")
    return value


def _field(value: Any, name: str) -> Any:
    if not isinstance(value, dict) or name not in value:
        raise IntegrityError(f"is no bundle of model-signing: it has no {name}")
    return value[name]


def _bytes(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise IntegrityError("is no bundle of model-signing: a text in it is not base64") from error
