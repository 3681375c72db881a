"""YAML once more."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.ordinary import vit

TAGS = "yaml.load(Loader=Loader or UnsafeLoader), the default before PyYAML 5.1, calls it"
HYDRA = "hydra.utils.instantiate calls it"
HYPER = "hyperpyyaml.load_hyperpyyaml calls it"
LONG = "seed: 42\ndata:\n  root: data\n  size: [224, 224]\n"


def _yaml(label: str, body: str | bytes, loader: str = TAGS, path: str = "config.yaml") -> Case:
    return bad(label, loader, lambda: vit({path: body}))


CASES: tuple[Case, ...] = (
    _yaml(
        "imports-a-module", LONG + "x: !!python/module:train\n", "yaml.FullLoader before 5.4 and Loader import train.py"
    ),
    _yaml(
        "arguments-and-keywords",
        LONG + "x: !!python/object/apply:subprocess.run {args: [['true']], kwds: {shell: false}}\n",
    ),
    _yaml("anchored-then-tagged", LONG + "x: &a !!python/object/apply:os.system ['true']\ny: *a\n"),
    _yaml("carriage-returns", (LONG + "x: !!python/object/apply:os.system ['true']\n").replace("\n", "\r")),
    _yaml("next-line-signs", (LONG + "x: !!python/object/apply:os.system ['true']\n").replace("\n", "\x85")),
    _yaml(
        "behind-a-line-separator",
        LONG + "# note\u2028x: !!python/object/apply:os.system ['true']\n",
        TAGS + "; U+2028 ends the comment",
    ),
    _yaml("percent-in-the-name", LONG + "x: !!python/object/apply:o%73%2Esystem ['true']\n"),
    _yaml("handle-with-percent", "%TAG !y! tag:yaml.org,2002:python/object/%61pply:\n---\nx: !y!os.system ['true']\n"),
    _yaml(
        "both-directives", "%YAML 1.1\n%TAG !z! tag:yaml.org,2002:\n---\nx: !z!python/object/apply:os.system ['true']\n"
    ),
    _yaml("in-json", '{"a": 1, "b": !!python/object/apply:os.system ["true"]}', path="params.yml"),
    _yaml("third-document", LONG + "...\n---\na: 1\n---\n!!python/object/apply:os.system ['true']\n"),
    _yaml("no-ending", LONG + "x: !!python/object/apply:os.system ['true']\n", path="hparams"),
    _yaml(
        "hyper-name-then-apply", LONG + "f: !name:os.system\nx: !applyref:os.system [true]\n", HYPER, "hyperparams.yaml"
    ),
    _yaml("hyper-eval", LONG + "x: !apply:builtins.eval ['0']\n", HYPER, "hyperparams.yaml"),
    _yaml(
        "hyper-new-of-a-loader",
        LONG + "x: !apply:torch.load\n  f: x.ckpt\n  weights_only: False\n",
        HYPER,
        "hyperparams.yaml",
    ),
    _yaml("target-in-a-list", LONG + "steps:\n- name: a\n- _target_: shutil.rmtree\n  path: out\n", HYDRA),
    _yaml(
        "target-with-a-default",
        LONG + "x:\n  _target_: ${oc.env:NOT_SET,os.system}\n  command: 'true'\n",
        "OmegaConf takes the default: " + HYDRA,
    ),
    _yaml("target-imports", LONG + "x:\n  _target_: importlib.import_module\n  name: train\n", HYDRA),
    _yaml("target-in-json-style", '{"model": {"\\u005ftarget_": "subprocess.check_output", "args": ["true"]}}', HYDRA),
    _yaml(
        "class-path-of-builtins",
        LONG + "model:\n  class_path: builtins.exec\n  init_args: {source: '0'}\n",
        "jsonargparse imports it",
    ),
    _yaml(
        "layer-that-is-evaluated",
        "nc: 2\nbackbone:\n  - [-1, 1, \"__import__('os').system('true')\", []]\nhead: []\n",
        "YOLOv5 and YOLOv7: parse_model calls eval() on the name of a layer",
        "yolov5s.yaml",
    ),
    _yaml(
        "latent-target-eval",
        "model:\n  target: builtins.eval\n  params: {source: '0'}\n",
        "instantiate_from_config calls it",
        "configs/v2.yaml",
    ),
    _yaml(
        "template-in-a-block",
        LONG + "chat_template: |\n  {% for m in messages %}\n  {{ m|attr('__cl' ~ 'ass__') }}\n  {% endfor %}\n",
        "servers that render a model's template from YAML without a sandbox",
        "model_config.yaml",
    ),
    # twins
    twin(
        "yolo-model",
        "ultralytics",
        lambda: vit(
            {
                "yolov5s.yaml": (
                    "nc: 2\ndepth_multiple: 0.33\nbackbone:\n  - [-1, 1, Conv, [64, 6, 2, 2]]\n"
                    "  - [-1, 3, C3, [128]]\nhead:\n  - [[17, 20, 23], 1, Detect, [nc, anchors]]\n"
                )
            }
        ),
    ),
    twin(
        "hydra-with-interpolation",
        "hydra",
        lambda: vit(
            {
                "conf/config.yaml": (
                    "lr: 0.1\nopt:\n  _target_: torch.optim.SGD\n  lr: ${lr}\n"
                    "hydra:\n  run:\n    dir: out/${now:%Y-%m-%d}\n"
                )
            }
        ),
    ),
    twin(
        "hyper-refs",
        "speechbrain",
        lambda: vit({"hyperparams.yaml": "sample_rate: 16000\nn_mels: 80\nwindow: !ref <n_mels> * 2\n"}),
    ),
    twin(
        "dvc",
        "dvc",
        lambda: vit(
            {"dvc.yaml": "stages:\n  train:\n    cmd: python train.py\n    deps: [train.py]\n    outs: [model.pt]\n"}
        ),
    ),
    twin(
        "full-of-signs",
        "yaml.safe_load",
        lambda: vit({"notes.yaml": "a: 'use !!python/object/apply:os.system never'\nb: \"50 % off!\"\n"}),
    ),
    twin(
        "lightning-hparams",
        "yaml.full_load",
        lambda: vit({"hparams.yaml": "lr: 1.0e-3\nsize: !!python/tuple\n- 224\n- 224\nname: 中文\n"}),
    ),
    twin(
        "llama-factory",
        "LLaMA-Factory",
        lambda: vit(
            {"llamaboard_config.yaml": "top.model_name: Custom\ntrain.template: default\ntrain.dataset: [alpaca]\n"}
        ),
    ),
)
