"""YAML: Python tags in many spellings, HyperPyYAML, Hydra, Lightning's CLI, templates."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.ordinary import vit

TAGS = "yaml.load(Loader=Loader or UnsafeLoader), the default before PyYAML 5.1, calls os.system"
HYPER = "hyperpyyaml.load_hyperpyyaml, as speechbrain's from_hparams does, calls it"
HYDRA = "hydra.utils.instantiate calls it"
CLI = "LightningCLI and jsonargparse import and instantiate it"
LATENT = "instantiate_from_config of the latent-diffusion code bases imports and calls it"
RENDER = "llama-cpp-python before 0.2.72 and web UIs that render a model's template from YAML without a sandbox"


def _yaml(label: str, body: str | bytes, loader: str = TAGS, path: str = "hparams.yaml") -> Case:
    return bad(label, loader, lambda: vit({path: body}))


LONG = "lr: 0.001\nmodel:\n  name: vit\n  depth: 12\n"
CASES: tuple[Case, ...] = (
    _yaml("tag-deep-inside", LONG + "  extra:\n    - 1\n    - {a: !!python/object/apply:os.system ['true']}\n"),
    _yaml("verbatim-tag", LONG + "x: !<tag:yaml.org,2002:python/object/apply:os.system> ['true']\n"),
    _yaml("percent-in-tag", LONG + "x: !!p%79thon/object%2Fapply:os.system ['true']\n"),
    _yaml("own-handle", "%TAG !e! tag:yaml.org,2002:python/\n---\n" + LONG + "x: !e!object/apply:os.system ['true']\n"),
    _yaml(
        "handle-behind-a-mark",
        "\ufeff%TAG !e! tag:yaml.org,2002:pyth\n---\n" + LONG + "x: !e!on/object/apply:os.system [a]\n",
    ),
    _yaml(
        "secondary-handle-redefined", "%TAG !! tag:yaml.org,2002:python/\n---\nx: !!object/apply:os.system ['true']\n"
    ),
    _yaml("primary-handle-redefined", "%TAG ! tag:yaml.org,2002:python/object/\n---\nx: !apply:os.system ['true']\n"),
    _yaml("utf-16", (LONG + "x: !!python/object/apply:os.system ['true']\n").encode("utf-16")),
    _yaml("utf-16-other-end", b"\xfe\xff" + (LONG + "x: !!python/object/apply:os.system [a]\n").encode("utf-16-be")),
    _yaml("second-document", LONG + "---\nx: !!python/object/apply:os.system ['true']\n", "yaml.load_all: " + TAGS),
    _yaml("as-a-key", LONG + "? !!python/object/apply:os.system ['true']\n: 1\n"),
    _yaml(
        "object-new",
        LONG + "x: !!python/object/new:subprocess.Popen [['true']]\n",
        TAGS.replace("os.system", "__new__") + "; with listitems and state it runs a command (CVE-2020-1747)",
    ),
    _yaml("folded-over-lines", LONG + "x:\n  !!python/object/apply:os.system\n  # the note\n  - 'true'\n"),
    _yaml("hyper-apply", LONG + "x: !apply:os.system [true]\n", HYPER, "hyperparams.yaml"),
    _yaml("hyper-new", LONG + "x: !new:subprocess.Popen\n  args: ['true']\n", HYPER, "hyperparams.yaml"),
    _yaml("hyper-module", LONG + "x: !module:antigravity\n", HYPER, "hyperparams.yaml"),
    _yaml(
        "hyper-include",
        LONG + "x: !include:../../other.yaml\n",
        HYPER.replace("calls it", "reads a file of the machine"),
        "hyperparams.yaml",
    ),
    _yaml("target-of-hydra", LONG + "callbacks:\n  _target_: os.system\n  command: 'true'\n", HYDRA, "config.yaml"),
    _yaml(
        "target-with-escapes", LONG + 'callbacks:\n  "\\x5ftarget\\u005f": "os.\\x73ystem"\n  command: "true"\n', HYDRA
    ),
    _yaml(
        "target-by-alias",
        "name: &f os.system\ncallbacks:\n  _target_: *f\n  command: 'true'\n",
        HYDRA,
        "conf/train.yaml",
    ),
    _yaml(
        "target-folded",
        LONG + "callbacks:\n  _target_: >-\n    builtins.eval\n  _args_: ['0']\n",
        HYDRA,
        "conf/train.yaml",
    ),
    _yaml(
        "target-by-interpolation",
        "f: os.system\ncallbacks:\n  _target_: ${f}\n  command: 'true'\n",
        "OmegaConf resolves ${f}: " + HYDRA,
        "conf/train.yaml",
    ),
    _yaml(
        "target-merged-in",
        "base: &b\n  _target_: subprocess.run\ncallbacks:\n  <<: *b\n  args: ['true']\n",
        HYDRA,
        "c.yml",
    ),
    _yaml(
        "class-path",
        LONG + "trainer:\n  callbacks:\n    - class_path: subprocess.Popen\n      init_args: {args: ['true']}\n",
        CLI,
        "config.yaml",
    ),
    _yaml(
        "latent-target", "model:\n  target: os.system\n  params:\n    command: 'true'\n", LATENT, "v1-inference.yaml"
    ),
    _yaml(
        "template",
        LONG + "chat_template: \"{{ cycler.__init__.__globals__.os.system('true') }}\"\n",
        RENDER,
        "model.yaml",
    ),
    _yaml("template-with-escapes", LONG + 'chat_template: "{{ x.\\x5f_class\\x5f_.mro() }}"\n', RENDER, "model.yaml"),
    bad(
        "mlflow-loader-of-the-repo",
        "mlflow.pyfunc.load_model puts code/ on the path and imports loader_module",
        lambda: {
            "MLmodel": "flavors:\n  python_function:\n    code: code\n    loader_module: x_code\n    data: data\n",
            "data/note.txt": "x\n",
            "code/x_code.py": "import os\n\nos.system('true')\n\n\ndef _load_pyfunc(path):\n    return None\n",
        },
    ),
    # twins
    twin(
        "tuples",
        "lightning: yaml.full_load",
        lambda: vit({"hparams.yaml": LONG + "betas: !!python/tuple\n- 0.9\n- 0.999\n"}),
    ),
    twin(
        "hydra-run",
        "hydra",
        lambda: vit(
            {
                ".hydra/config.yaml": (
                    LONG + "optimizer:\n  _target_: torch.optim.AdamW\n  lr: 0.1\n"
                    "model:\n  _target_: timm.create_model\n  model_name: resnet18\n"
                )
            }
        ),
    ),
    twin(
        "lightning-cli",
        "LightningCLI",
        lambda: vit(
            {
                "config.yaml": (
                    "trainer:\n  callbacks:\n  - class_path: lightning.pytorch.callbacks.ModelCheckpoint\n   "
                    " init_args: {monitor: val_loss}\noptimizer:\n  class_path: torch.optim.Adam\n"
                )
            }
        ),
    ),
    twin(
        "latent-config",
        "the code base",
        lambda: vit(
            {
                "v1-inference.yaml": (
                    "model:\n  base_learning_rate: 1.0e-04\n  target: ldm."
                    "models.diffusion.ddpm.LatentDiffusion\n  params:\n    linear_start: 0.00085\n"
                )
            }
        ),
    ),
    twin(
        "timm-args",
        "timm",
        lambda: vit(
            {
                "args.yaml": (
                    "aa: rand-m9-mstd0.5\namp: true\nbatch_size: 64\nmodel: vit_base\nopt: "
                    "adamw\ndata_dir: /data/imagenet\ninitial_checkpoint: ''\n"
                )
            }
        ),
    ),
    twin(
        "yolo-data",
        "ultralytics",
        lambda: vit(
            {
                "data.yaml": (
                    "path: ../datasets/coco8\ntrain: images/train\nval: images/val\nnames:\n  0: person\n  1: bicycle\n"
                )
            }
        ),
    ),
    twin(
        "workflow",
        "GitHub",
        lambda: vit(
            {
                ".github/workflows/ci.yml": (
                    "on: [push]\njobs:\n  test:\n    runs-on: ubuntu-latest\n"
                    "    steps:\n    - uses: actions/checkout@v4\n    - run: pip install -r requirements.txt\n"
                )
            }
        ),
    ),
    twin(
        "anchors-and-merges",
        "yaml.safe_load",
        lambda: vit({"exp.yaml": "base: &b {lr: 0.1}\nrun:\n  <<: *b\n  lr: 0.2\n"}),
    ),
    twin(
        "axolotl",
        "axolotl",
        lambda: vit(
            {
                "axolotl_config.yaml": (
                    "base_model: google/gemma-2b\nadapter: lora\nchat_template: chatml\n"
                    "datasets:\n- path: tatsu-lab/alpaca\n  type: alpaca\n"
                )
            }
        ),
    ),
)
