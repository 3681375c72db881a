"""Is a checkpoint what its audit and its card say? Checked by whoever received it; no torch but for ``--data``.

* ``verify``: all checks, in stages, with one exit code. Start here.
* ``report``: what they say: a line each, with the place of whatever is not as stated.
* ``statement``: audit and card of a stranger, read within bounds.
* ``files``: every file against the audit and the commit, and nothing beside them.
* ``kinds``: which files ``clean`` writes at all.
* ``origin``: only weights differ from the original.
* ``tensors``: and of those only the tensors that the audit names.
* ``readme``: the card says what the audit gives.
* ``sums``: the audit agrees with itself.
* ``safety``: the static scan, once more.
* ``signed``: who signed it, by a key that the user has.
* ``figures``: accuracy and attack success measured again, with images.
* ``redo``: the recorded command again.
"""

from typing import TYPE_CHECKING

from hubclean.surface import lazily

if TYPE_CHECKING:
    from hubclean.cleansing.verifying.report import VerifyReport as VerifyReport
    from hubclean.cleansing.verifying.verify import verify as verify

__all__ = ["VerifyReport", "verify"]

if not TYPE_CHECKING:
    __getattr__ = lazily(__name__, report="VerifyReport", verify="verify")
