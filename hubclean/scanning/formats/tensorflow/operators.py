"""Operators of TensorFlow's graphs that reach files, the network or Python when the graph is run.

Source: tensorflow/core/ops/*.cc (2.21), by what their kernels open; SECURITY.md of TensorFlow ("models are programs").
"""

from __future__ import annotations

import re
from typing import Literal

# Call Python, write files, open connections, load libraries.
_ACTING = re.compile(
    r"^(PyFunc|PyFuncStateless|EagerPyFunc|LoadLibrary\w*|WriteFile|WriteAudio\w*|PrintToFile|CreateSummary\w*"
    r"|Write\w*Summary|ImportEvent|SummaryWriter|SaveDataset\w*|DatasetToTFRecord|ExperimentalDatasetToTFRecord"
    r"|CacheDataset\w*|SnapshotDataset\w*|DistributedSave|DataService\w*|RegisterDataset\w*|Rpc\w*|TryRpc|Grpc\w*"
    r"|RemoteCall|RemoteFusedGraphExecute|BigQuery\w*|GenerateBigQuery\w*|Bigtable\w*|CloudBigtable\w*|Kafka\w*"
    r"|SqlDataset|ExperimentalSqlDataset|FileSystemSetConfiguration|GcsConfigure\w*|TPUProfile\w*|IO>\w+"
    r"|CollectiveManager\w*|DeleteFile|RenameFile|CopyFile|ExecuteCommand)$"
)
# Read files that are named in the graph.
_READING = re.compile(
    r"^(ReadFile|MatchingFiles\w*|WholeFileReader\w*|TextLineReader\w*|TFRecordReader\w*|FixedLengthRecordReader\w*"
    r"|LMDBReader|TFRecordDataset\w*|TextLineDataset|FixedLengthRecordDataset\w*|CSVDataset\w*|ExperimentalCSVDataset"
    r"|LMDBDataset|ExperimentalLMDBDataset|MatchingFilesDataset|ExperimentalMatchingFilesDataset|LoadDataset\w*"
    r"|ListDataset|ImmutableConst|ListSnapshotChunksDataset|SnapshotChunkDataset|SnapshotDatasetReader)$"
)
# Write where an attribute says; harmless where that is the screen.
BY_ATTRIBUTE = {
    "PrintV2": (b"output_stream", re.compile(rb"^file://")),
    **dict.fromkeys(
        ("DebugIdentity", "DebugIdentityV2", "DebugIdentityV3", "DebugNanCount", "DebugNumericSummary"),
        (b"debug_urls", re.compile(rb"^(file|grpc)://")),
    ),
}


def reach(operator: str) -> Literal["critical", "high"] | None:
    """How bad an operator is by its name: ``critical`` acts outside the graph, ``high`` reads files, else ``None``."""
    if _ACTING.match(operator):
        return "critical"
    return "high" if _READING.match(operator) else None
