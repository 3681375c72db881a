"""Functions that run commands or code by themselves: named in a pickle or a config, they are there to be called."""

from __future__ import annotations

import re

# Nobody names them in a config but to have them called, whatever the key: instantiators differ in their keys alone.
CALLED = re.compile(
    r"""(?:(?:os|posix|nt)[.:](?:system|popen\d?|startfile|posix_spawnp?|(?:exec|spawn)[lv]p?e?)
    |subprocess[.:](?:Popen|run|call|check_call|check_output|getoutput|getstatusoutput)
    |commands[.:](?:getoutput|getstatusoutput)
    |(?:builtins|__builtin__|__builtins__)[.:](?:eval|exec|execfile|compile|__import__|open|getattr|input|breakpoint)
    |importlib[.:](?:import_module|__import__|reload)|runpy[.:]run_(?:path|module)|pty[.:]spawn
    |(?:_?pickle|cPickle|dill|cloudpickle|marshal|joblib)[.:]loads?|torch[.:]hub[.:]load|shutil[.:]rmtree
    |asyncio[.:]create_subprocess_(?:shell|exec)|urllib[.:]request[.:]url(?:open|retrieve)|webbrowser[.:]open
    |timeit[.:](?:timeit|repeat)|cProfile[.:]run|code[.:]interact|ctypes[.:](?:CDLL|cdll[.:]LoadLibrary|WinDLL))""",
    re.VERBOSE,
)
# Bound methods and plain readers are pickled by these, too.
_LOOK_UP = ("getattr", "open", "input", "load", "loads", "reload", "rmtree")


def runs(module: str, name: str) -> bool:
    """Whether a function runs commands or code, whoever calls it."""
    return name not in _LOOK_UP and CALLED.fullmatch(f"{module}.{name}") is not None
