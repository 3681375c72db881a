"""The version, read by the build and written into every audit."""

from __future__ import annotations

__version__ = "0.1.0"
_PACKAGES = ("torch", "timm", "transformers", "accelerate", "huggingface-hub", "safetensors", "datasets", "numpy")


def versions() -> dict[str, str]:
    """Versions of hubclean, Python and what computes the numbers."""
    import importlib.metadata
    import platform  # neither is needed to start, and both take their time

    found = {"hubclean": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
