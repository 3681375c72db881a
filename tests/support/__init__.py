"""What tests share. Nothing here is a test but ``test_hub_server.py``, which tests the Hub the others talk to.

* ``hub_server/``: a Hub on loopback, with faults on demand; ``hub_repo.py`` a small repo on it
* ``tiny_models.py``, ``small_nets.py``, ``masked_nets.py``, ``norm_nets.py``: models; ``edited.py`` cuts and shakes
  them; ``image_sets.py``: images; ``crowds.py``, ``flower_config.py``: owners of images
* ``pickled.py``, ``scanned_files.py``: files for the scan, hostile and plain; ``schemas/`` of what it writes;
  ``wire.py``: protobuf
* ``variety.py``: models and pictures as the Hub holds them; ``audited.py``, ``sample_audits.py``: what ``clean`` leaves
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
