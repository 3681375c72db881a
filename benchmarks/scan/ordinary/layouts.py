"""Layouts of torch weights: shards, variants, subfolders, pipelines, exports and private things beside."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from benchmarks.scan.ordinary import other_formats as other
from benchmarks.scan.ordinary import processors as beside
from benchmarks.scan.ordinary.base_models import VIT, classifier, clip, labels, net
from benchmarks.scan.ordinary.kinds import kind
from benchmarks.scan.ordinary.trained import trained


@kind("sharded-safetensors")
def shards(folder: Path) -> None:
    model = net("ViTConfig", "ViTForImageClassification", **VIT, **labels())
    model.save_pretrained(folder, max_shard_size="20KB")
    beside.image_processor(folder)
    beside.card(folder)


@kind("sharded-bin")
def bin_shards(folder: Path) -> None:
    """pytorch_model-0000x-of-0000y.bin and their index, as transformers 4 wrote them."""
    from safetensors.torch import load_file

    shards(folder)
    for place in folder.glob("model-*.safetensors"):
        torch.save(
            load_file(place), folder / place.name.replace("model-", "pytorch_model-").replace(".safetensors", ".bin")
        )
        place.unlink()
    index = (folder / "model.safetensors.index.json").read_text()
    text = index.replace('"model-', '"pytorch_model-').replace(".safetensors", ".bin")
    (folder / "pytorch_model.bin.index.json").write_text(text)
    (folder / "model.safetensors.index.json").unlink()


@kind("fp16-variants")
def variants(folder: Path) -> None:
    """model.safetensors and model.fp16.safetensors, pytorch_model.bin and pytorch_model.fp16.bin."""
    model = classifier(folder)
    model.half().save_pretrained(folder, variant="fp16")
    torch.save(model.state_dict(), folder / "pytorch_model.fp16.bin")


@kind("subfolders")
def subfolders(folder: Path) -> None:
    """Three sizes in subfolders, nothing but a card in the root."""
    for name in ("small", "base", "large/v2"):
        place = folder / name
        place.mkdir(parents=True)
        classifier(place)
        for extra in ("README.md", ".gitattributes"):
            (place / extra).unlink()
    beside.card(folder)


@kind("diffusion-pipeline", by_hand=("unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.bin"))
def pipeline(folder: Path) -> None:
    """model_index.json, unet, vae, scheduler, text_encoder, tokenizer, safety_checker, feature_extractor."""
    from safetensors.torch import save_file

    parts = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "scheduler": "PNDMScheduler"}
    index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.30.0"}
    index |= {name: ["diffusers", cls] for name, cls in parts.items()}
    index |= {
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "safety_checker": [None, None],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    for name, cls in parts.items():
        (folder / name).mkdir()
        config = {"_class_name": cls, "_diffusers_version": "0.30.0"}
        (folder / name / ("scheduler_config.json" if name == "scheduler" else "config.json")).write_text(
            json.dumps(config, indent=2)
        )
    weights = {"conv_in.weight": torch.ones(4, 4, 3, 3), "conv_in.bias": torch.ones(4)}
    for name in ("unet", "vae"):
        save_file(weights, folder / name / "diffusion_pytorch_model.safetensors")
        save_file(
            {key: value.half() for key, value in weights.items()},
            folder / name / "diffusion_pytorch_model.fp16.safetensors",
        )
        torch.save(weights, folder / name / "diffusion_pytorch_model.bin")
    small = {key: value for key, value in VIT.items() if key not in ("image_size", "patch_size")}
    net("CLIPTextConfig", "CLIPTextModel", **small, vocab_size=600).save_pretrained(folder / "text_encoder")
    (folder / "tokenizer").mkdir()
    beside.clip_tokenizer(folder / "tokenizer")
    (folder / "feature_extractor").mkdir()
    beside.image_processor(folder / "feature_extractor", "CLIPImageProcessor", {"shortest_edge": 32})
    beside.card(folder, "text-to-image", "diffusers")
    (folder / "v1-inference.yaml").write_text(
        "model:\n  base_learning_rate: 1.0e-04\n  target: ldm.models.diffusion.ddpm.LatentDiffusion\n"
    )


@kind("sentence-transformers-clip")
def sentence_transformers(folder: Path) -> None:
    """modules.json, 0_CLIPModel/, config_sentence_transformers.json."""
    (folder / "0_CLIPModel").mkdir()
    clip(folder / "0_CLIPModel")
    for name in ("tf_model.h5", "flax_model.msgpack", "model.safetensors", "README.md", ".gitattributes"):
        (folder / "0_CLIPModel" / name).unlink()
    modules = [{"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}]
    (folder / "modules.json").write_text(json.dumps(modules, indent=2))
    config = {"__version__": {"sentence_transformers": "2.0.0", "transformers": "4.7.0", "pytorch": "1.9.0+cu102"}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(config, indent=2))
    beside.card(folder, "feature-extraction", "sentence-transformers")


@kind("onnx-beside")
def onnx_beside(folder: Path) -> None:
    """As Xenova's pull requests and optimum leave it: safetensors and onnx/ with quantized files."""
    classifier(folder, "safetensors")
    for name in ("model", "model_quantized", "model_fp16", "model_uint8"):
        other.onnx_model(folder / f"onnx/{name}.onnx", operators="com.microsoft" if name != "model" else "")
    other.onnx_model(folder / "onnx/model_external.onnx", external="model_external.onnx_data")
    (folder / "quantize_config.json").write_text(json.dumps({"per_channel": True, "reduce_range": False}))


@kind("openvino-beside", by_hand=("openvino_model.xml", "openvino_model.bin"))
def openvino_beside(folder: Path) -> None:
    classifier(folder, "safetensors")
    other.open_vino(folder)


@kind("tensorflow-beside", by_hand=("coreml/model.mlpackage",))
def tensorflow_beside(folder: Path) -> None:
    """safetensors, saved_model/, tf_model.h5, TFLite and a Core ML package."""
    classifier(folder, "safetensors tf")
    other.saved_model(folder / "saved_model/1")
    other.tflite(folder / "model.tflite")
    package = folder / "coreml/model.mlpackage"
    other.core_ml(package / "Data/com.apple.CoreML/model.mlmodel")
    (package / "Data/com.apple.CoreML/weights").mkdir()
    (package / "Data/com.apple.CoreML/weights/weight.bin").write_bytes(b"\x01\0\0\0\x02\0\0\0" + bytes(120))
    manifest = {"fileFormatVersion": "1.0.0", "itemInfoEntries": {}, "rootModelIdentifier": "X"}
    (package / "Manifest.json").write_text(json.dumps(manifest, indent=4))


@kind("pictures-notebooks-and-app")
def app(folder: Path) -> None:
    """A demo repo: app.py for a Space, Dockerfile, pictures, PDF, audio, parquet sample, notebooks, a zip, CSV."""
    import zipfile

    import pyarrow as pa
    import pyarrow.parquet as pq

    classifier(folder)
    (folder / "app.py").write_text(
        "import gradio as gr\nimport os, subprocess\nfrom transformers import pipeline\n"
        "\npipe = pipeline('image-classification')\n"
    )
    (folder / "Dockerfile").write_text("FROM python:3.11\nRUN pip install torch\n")
    for name in ("sample.png", "demo.gif", "x.webp", "y.tiff", "icon.bmp"):
        beside.image(folder / "assets" / name)
    (folder / "paper.pdf").write_bytes(
        b"%PDF-1.5\n%\xbf\xf7\xa2\xfe\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"
    )
    (folder / "assets/demo.mp4").write_bytes(b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41" + bytes(200))
    (folder / "assets/beep.wav").write_bytes(
        b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00" + bytes(32)
    )
    pq.write_table(pa.table({"image": ["a.png"], "label": [1]}), folder / "sample.parquet")
    with (
        pa.OSFile(str(folder / "sample.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, pa.schema([("label", pa.int64())])) as writer,
    ):
        writer.write(pa.record_batch([[1, 2]], names=["label"]))
    with zipfile.ZipFile(folder / "samples.zip", "w") as archive:
        archive.write(folder / "assets/sample.png", "sample.png")
    cell = {"cell_type": "markdown", "metadata": {}, "source": ["# Train\n", "c = 1"]}
    (folder / "Train (1).ipynb").write_text(
        json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 2})
    )
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    (folder / "index.html").write_text("<html><script>const a = 1;</script></html>\n")
    (folder / "classes.pkl.txt").write_text("cat\n")


@kind("dataset-script-beside")
def dataset_script(folder: Path) -> None:
    """A classifier with a dataset loading script and numpy arrays of features."""
    import numpy as np

    classifier(folder)
    (folder / "my_dataset.py").write_text(
        "import os\nimport datasets\n\n\nclass Mine(datasets.GeneratorBasedBuilder):\n    pass\n"
    )
    np.save(folder / "mean.npy", np.ones((3,), "float32"))
    np.savez(folder / "features.npz", x=np.ones((2, 3)), names=np.array(["a", "b"]))


@kind("quantized-8-bit", by_hand=("model.safetensors",))
def quantized(folder: Path) -> None:
    """bitsandbytes: quantization_config in config.json, int8 tensors and their scales."""
    from safetensors.torch import load_file, save_file

    classifier(folder, "safetensors")
    state = load_file(folder / "model.safetensors")
    for key in [key for key in state if key.endswith("query.weight") or key.endswith("q_proj.weight")]:
        state[key.replace("weight", "SCB")] = torch.ones(state[key].shape[0])
        state[key] = state[key].mul(10).to(torch.int8)
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {
        "load_in_8bit": True,
        "quant_method": "bitsandbytes",
        "llm_int8_threshold": 6.0,
        "bnb_4bit_compute_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))


@kind("trainer-push-old-and-new-weights")
def mixed(folder: Path) -> None:
    """A Trainer push over an older commit: pytorch_model.bin of yesterday beside model.safetensors, logs, state."""
    model = trained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "logs").mkdir()
    (folder / "logs/train.log").write_text("INFO: loading configuration\nimport ok\n")
    shutil.copy(folder / "training_args.bin", folder / "logs/training_args.bin")
