"""Signs a folder with a key file, as OpenSSF model-signing 1.x does: one bundle that names the sha256 of every file.

``model_signing verify key FOLDER --signature FOLDER/model.sig --public_key KEY`` checks it without hubclean.
"""

from __future__ import annotations

import os
from pathlib import Path

from hubclean.errors import MissingExtraError, OptionError, OutputError
from hubclean.escaping import printable
from hubclean.hub.audited_folder import SIGNATURE

_LONGEST_KEY = 64 << 10


def sign_folder(folder: Path, key: Path) -> None:
    """Write ``model.sig`` into a folder that was checked, in place of one that is there.

    Args:
        key: a private key on P-256, P-384 or P-521, as PEM without a password.

    Raises:
        OptionError: it is no such key. OutputError: the signature cannot be written.
        MissingExtraError: the extra ``sign`` is not installed.
    """
    try:
        from model_signing import hashing, signing
    except ImportError as error:
        raise MissingExtraError("signing", "sign", "model-signing") from error
    shown = printable(str(key), 200)
    fresh = folder / f".{SIGNATURE}.partial"
    try:
        if key.stat().st_size > _LONGEST_KEY:
            raise OptionError(f"{shown!r} is no private key")
        made = signing.Config().use_elliptic_key_signer(private_key=key)
    except OSError as error:
        raise OptionError(f"{shown!r} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError) as error:  # no PEM, a password, RSA, another curve
        raise OptionError(f"{shown!r} is no private key on P-256, P-384 or P-521 without a password (PEM)") from error
    ignored = hashing.Config().set_ignored_paths(paths=[SIGNATURE, fresh.name], ignore_git_paths=True)
    try:
        made.set_hashing_config(ignored).sign(folder, fresh)
        os.replace(fresh, folder / SIGNATURE)
    except OSError as error:
        raise OutputError(f"the signature cannot be written: {error.strerror or error}") from error
    finally:
        fresh.unlink(missing_ok=True)
