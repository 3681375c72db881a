"""Which names of data libraries only hold state, and which only rebuild their own objects."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

# What these libraries' own ``__reduce__`` writes, by their sources. They are not allowed: some take memory as it comes
# (indexes, offsets, raw buffers). Yet none runs what the file says, so in a file that nobody loads they do not count.
_MAKERS_TEXT = """
pandas._libs.internals: _unpickle_block __pyx_unpickle_BlockPlacement
pandas.core.internals.blocks: new_block make_block
pandas.core.indexes.base: _new_Index
pandas.core.indexes.datetimes: _new_DatetimeIndex
pandas.core.indexes.period: _new_PeriodIndex
pandas.core.indexes.interval: _new_IntervalIndex
pandas._libs.arrays: __pyx_unpickle_NDArrayBacked
pandas._libs.tslibs.timestamps: _unpickle_timestamp
pandas._libs.tslibs.timedeltas: _timedelta_unpickle
pandas._libs.tslibs.nattype: _nat_unpickle __nat_unpickle
pandas._libs.tslibs.period: _unpickle_period
pyarrow.lib: _restore_array py_buffer type_for_alias chunked_array schema field list_ struct dictionary timestamp
numpy.random._pickle: __randomstate_ctor __generator_ctor __bit_generator_ctor
numpy.random: __RandomState_ctor
numpy.random.bit_generator: __pyx_unpickle_SeedSequence
numpy.ma.core: _mareconstruct
sklearn.neighbors._kd_tree: newObj
sklearn.neighbors._ball_tree: newObj
sklearn.neighbors.kd_tree: newObj
sklearn.neighbors.ball_tree: newObj
sklearn.neighbors._dist_metrics: newObj
sklearn.neighbors.dist_metrics: newObj
sklearn.metrics._dist_metrics: newObj
sklearn.feature_selection._univariate_selection: f_classif f_regression chi2
sklearn.feature_selection.univariate_selection: f_classif f_regression chi2
sklearn.cluster._kmeans: _kmeans_single_lloyd _kmeans_single_elkan lloyd_iter_chunked_dense elkan_iter_chunked_dense
sklearn._loss._loss: __pyx_unpickle_CyHalfMultinomialLoss __pyx_unpickle_CyHalfBinomialLoss
"""


@cache
def makers() -> frozenset[tuple[str, str]]:
    """Functions that rebuild their library's own objects."""
    rows = (line.split(": ") for line in _MAKERS_TEXT.strip().splitlines())
    return frozenset((module, name) for module, names in rows for name in names.split())


@cache
def estimators() -> frozenset[tuple[str, str]]:
    """Estimators of scikit-learn that pickle makes by ``__new__`` alone and fills with their ``__dict__``."""
    document = json.loads((Path(__file__).parent / "estimators.json").read_text("utf-8"))
    return frozenset((module, name) for module, names in document["names"].items() for name in names.split())
