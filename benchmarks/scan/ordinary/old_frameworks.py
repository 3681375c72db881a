"""TensorFlow and Flax weights as transformers 4 wrote them; runs in an environment of its own and imports nothing here.

python old_frameworks.py FOLDER    with tensorflow-cpu==2.15.*, transformers==4.41.*, flax<0.8.5, numpy<2

For each architecture FOLDER/NAME/{tf_model.h5, flax_model.msgpack}; then what Keras itself writes: FOLDER/keras/
{model.h5, model.keras, weights.h5, saved_model/}, FOLDER/tflite/model.tflite.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

VIT = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "image_size": 32}
SMALL = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
CLIP = {"text_config": SMALL | {"vocab_size": 600}, "vision_config": SMALL | {"image_size": 32, "patch_size": 8}}
CASES = {
    "vit": ("ViTConfig", "ViTForImageClassification", VIT | {"patch_size": 8}),
    "deit": ("DeiTConfig", "DeiTForImageClassification", VIT | {"patch_size": 8}),
    "resnet": (
        "ResNetConfig",
        "ResNetForImageClassification",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    ),
    "swin": (
        "SwinConfig",
        "SwinForImageClassification",
        {"image_size": 32, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4},
    ),
    "convnext": (
        "ConvNextConfig",
        "ConvNextForImageClassification",
        {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "image_size": 32},
    ),
    "mobilevit": (
        "MobileViTConfig",
        "MobileViTForImageClassification",
        {
            "image_size": 64,
            "hidden_sizes": [12, 16, 20],
            "neck_hidden_sizes": [8, 8, 12, 12, 16, 16, 32],
            "num_attention_heads": 2,
        },
    ),
    "segformer": (
        "SegformerConfig",
        "SegformerForSemanticSegmentation",
        {
            "hidden_sizes": [8, 8, 16, 16],
            "depths": [1, 1, 1, 1],
            "decoder_hidden_size": 8,
            "num_attention_heads": [1, 1, 2, 2],
        },
    ),
    "beit": ("BeitConfig", "BeitForImageClassification", VIT | {"patch_size": 8}),
    "clip": ("CLIPConfig", "CLIPModel", CLIP),
}


def hugging_face(folder: Path) -> None:
    import transformers as t

    for name, (config, model, options) in CASES.items():
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        for prefix in ("TF", "Flax"):
            if not hasattr(t, prefix + model) or (prefix == "Flax" and name in ("swin", "deit", "convnext")):
                continue
            try:
                made = getattr(t, config)(**options)
                if prefix == "TF":
                    net = getattr(t, prefix + model)(made)
                    net(net.dummy_inputs)  # builds the variables
                else:
                    size = (1, made.image_size, made.image_size, 3) if hasattr(made, "image_size") else None
                    net = getattr(t, prefix + model)(made, **({"input_shape": size} if size else {}))
                net.save_pretrained(place)
                if prefix == "TF" and name == "vit":
                    net.save_pretrained(place, saved_model=True)
            except Exception as error:  # one that this version cannot make is written by hand instead
                print(f"{prefix}{model}: {type(error).__name__}: {error}", file=sys.stderr)
        (place / "config.json").unlink(missing_ok=True)


def keras(folder: Path) -> None:
    import tensorflow as tf

    layers = tf.keras.layers
    net = tf.keras.Sequential(
        [
            layers.Input((16, 16, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.1),
            layers.Dense(3, activation="softmax"),
        ]
    )
    net.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    net.fit(tf.random.uniform((8, 16, 16, 3)), tf.one_hot([0, 1, 2, 0, 1, 2, 0, 1], 3), verbose=0)
    place = folder / "keras"
    place.mkdir(parents=True, exist_ok=True)
    net.save(place / "model.h5")
    net.save(place / "model.keras")
    net.save_weights(place / "model.weights.h5")
    net.save(place / "saved_model", save_format="tf")
    other = folder / "tflite"
    other.mkdir(parents=True, exist_ok=True)
    (other / "model.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(net).convert())
    with_lambda = tf.keras.Sequential([layers.Input((4,)), layers.Lambda(lambda x: x * 2), layers.Dense(2)])
    with_lambda.save(place / "lambda.h5")
    with_lambda.save(place / "lambda.keras")

    class Writes(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([], tf.string)])  # type: ignore[untyped-decorator]
        def __call__(self, text: Any) -> Any:
            with tf.control_dependencies([tf.io.write_file("/tmp/hubclean-must-not-be-there", text)]):
                return tf.strings.length(tf.io.read_file("/etc/hostname"))

    tf.saved_model.save(Writes(), str(place / "writes"))


if __name__ == "__main__":
    keras(Path(sys.argv[1]))
    hugging_face(Path(sys.argv[1]))
