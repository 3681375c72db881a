"""The rules about files of weights: pickles, archives, safetensors, arrays, graphs of other runtimes."""

from __future__ import annotations

from hubclean.scanning.rule_form import Rule, rule

_CONVERT = "do not load it; `hubclean convert` copies no tensors of such a file: ask the author for safetensors"
_REFUSE = "do not load or unpack it; ask the author for a clean export"
_BROKEN = "do not load it; `hubclean convert` refuses it too: ask the author for a clean export"

# Ids are never renamed or reused.
WEIGHT_RULES: dict[str, Rule] = dict(
    (
        rule(
            "PKL-001",
            "critical",
            "A pickle calls a name that runs code, commands, network or files.",
            "do not load it: loading runs this; report it to the Hub; `hubclean convert` refuses it too",
            hostile=True,
        ),
        rule("PKL-002", "high", "A pickle references a name outside the allow-list.", _CONVERT),
        rule(
            "PKL-003",
            "critical",
            "A pickle calls something that is not a literal listed name.",
            "do not load it: what is called is hidden from readers; `hubclean convert` refuses it too",
            hostile=True,
        ),
        rule("PKL-004", "high", "A pickle uses an opcode outside the accepted set.", _BROKEN),
        rule("PKL-005", "high", "A pickle stream is broken, or parsers may disagree on it.", _BROKEN),
        rule("PKL-006", "high", "There are more pickle streams or bytes than the container allows.", _BROKEN),
        rule("PKL-007", "high", "A pickle passes a budget: opcodes, depth, memo or alias expansion.", _BROKEN),
        rule(
            "PKL-008",
            "high",
            "A storage record is missing or has the wrong length, or a tensor's item is assigned.",
            _BROKEN,
        ),
        rule(
            "PKL-009",
            "medium",
            "There is only a pickle container, no safetensors.",
            "ask the author for safetensors, or run `hubclean convert`",
        ),
        rule(
            "PKL-010",
            "low",
            "A pickle holds plain records besides tensors: the state of a training, arguments, paths, dates.",
            "nothing that inference needs; loaders of weights alone refuse it",
        ),
        rule(
            "ZIP-001", "high", "Local and central records of a zip disagree, or members collide.", _REFUSE, hostile=True
        ),
        rule(
            "ZIP-002",
            "high",
            "A member of a zip or tar has a path that leaves it, or is a link.",
            _REFUSE,
            hostile=True,
        ),
        rule(
            "ZIP-003",
            "high",
            "An archive is a bomb by ratio or size, encrypted, or packed by an unknown method.",
            _REFUSE,
        ),
        rule("ZIP-004", "medium", "A zip has bytes before or after it, or a second container inside.", _REFUSE),
        rule(
            "ZIP-005",
            "high",
            "A zip member is code or a program.",
            "do not run it; weights need no code inside them",
            hostile=True,
        ),
        rule(
            "TS-001",
            "critical",
            "TorchScript calls an operator that reads or writes files, runs Python, or is hidden.",
            "do not load it: loading or running it does this; report it to the Hub",
            hostile=True,
        ),
        rule(
            "TS-002",
            "high",
            "TorchScript uses an operator or class from outside torch and torchvision.",
            "do not load it together with the library that it asks for, before you have read that library",
        ),
        rule(
            "ST-001",
            "high",
            "The reference parser rejects the safetensors header.",
            "do not load it; get a new export",
        ),
        rule(
            "ST-002",
            "medium",
            "Readers may disagree on a safetensors header that the reference parser accepts.",
            "re-export the file with the safetensors library",
            ("high",),
        ),
        rule("ST-003", "medium", "Header or tensor count of a safetensors file is out of proportion."),
        rule("ST-004", "high", "An index names a shard that is missing, outside the repo, or different."),
        rule(
            "NPY-001",
            "high",
            "A NumPy array holds Python objects, which are pickled.",
            "do not load it with allow_pickle=True",
            ("medium",),
        ),
        rule(
            "MSG-001",
            "medium",
            "A MessagePack file holds an extension type that Flax does not know.",
            "ask the author which program wrote it",
        ),
        rule(
            "SKO-001",
            "high",
            "A skops archive names a type or function that skops does not trust.",
            "do not pass it in `trusted=`; ask the author what it is for",
            ("critical", "medium"),
            hostile=True,
        ),
        rule(
            "ARW-001",
            "critical",
            "An Arrow schema names the extension type that pyarrow unpickles.",
            "do not read it with pyarrow below 14.0.1; report it to the Hub",
            hostile=True,
        ),
        rule(
            "NET-001",
            "medium",
            "A graph uses an operator that no runtime has by itself: a native library or an app brings it.",
            "load no library for it that you would not run",
        ),
        rule(
            "NET-002",
            "high",
            "A graph uses an operator that calls Python, or reads or writes files.",
            "do not run it; ask the author for a model of plain operators",
            hostile=True,
        ),
        rule(
            "NET-003",
            "high",
            "A graph takes its weights from outside the repo or from memory, or names a library to load.",
            "do not load it; report it to the Hub",
            hostile=True,
        ),
        rule(
            "NET-004",
            "high",
            "Keys, sizes or indexes in a graph make known loaders overflow, write out of bounds or change themselves.",
            "do not load it; ask the author for a clean export",
        ),
        rule(
            "H5-001",
            "high",
            "An HDF5 file reaches into another file: a link, a dataset's numbers, a virtual dataset.",
            "do not load it: whoever opens it reads that file of their own machine",
            ("medium",),
            hostile=True,
        ),
        rule(
            "H5-002",
            "high",
            "An HDF5 file holds Python objects, which are pickled.",
            "do not open it with PyTables or pandas; ask the author for plain arrays",
        ),
        rule(
            "KER-001",
            "critical",
            "A Keras config holds Python bytecode.",
            "do not load it, with safe_mode or without; ask the author for a model without Lambda layers",
            hostile=True,
        ),
        rule(
            "KER-002",
            "high",
            "A Keras config names a class or function from outside Keras.",
            "do not load it; see what the name is, and register your own class under it if you must",
            ("critical", "medium"),
            hostile=True,
        ),
        rule(
            "KER-003",
            "high",
            "A Keras config opens files or addresses, or calls what is no layer.",
            "do not load it; ask the author for an export that holds what it needs",
            ("medium",),
            hostile=True,
        ),
        rule(
            "TF-001",
            "critical",
            "A TensorFlow graph writes files, opens connections, or calls Python; or reads files (high).",
            "do not load it: running the graph does this",
            ("high",),
            hostile=True,
        ),
        rule(
            "TF-002",
            "high",
            "A file of a TensorFlow model names another one outside the repo, or at an address.",
            "do not load it; ask the author for a clean export",
            hostile=True,
        ),
    )
)
