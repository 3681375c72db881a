"""Writes hubclean/scanning/pickles/state_names.json: what trainers put into their states besides tensors.

    python -m tools.state_names

Classes that pickle makes by ``__new__`` alone and enums, from the installed transformers, accelerate and torch (each is
looked at: no ``__new__``, ``__setstate__`` or ``__del__`` of its own), and ``OLDER``: what other versions and other
libraries named, read in their sources; ``tools/state_sources.py`` says in which and checks each. Review the diff.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
from enum import Enum
from pathlib import Path

INSTALLED = {
    "transformers.training_args": "TrainingArguments OptimizerNames ParallelMode",
    "transformers.training_args_seq2seq": "Seq2SeqTrainingArguments",
    "transformers.trainer_utils": "IntervalStrategy SaveStrategy HubStrategy SchedulerType FSDPOption HPSearchBackend",
    "transformers.trainer_pt_utils": "AcceleratorConfig LabelSmoother",
    "transformers.trainer_callback": "TrainerState TrainerControl",
    "transformers.debug_utils": "DebugOption",
    "transformers.integrations.deepspeed": "HfDeepSpeedConfig HfTrainerDeepSpeedConfig",
    "transformers.generation.configuration_utils": """GenerationConfig GenerationMode WatermarkingConfig CompileConfig
        BaseWatermarkingConfig SynthIDTextWatermarkingConfig""",
    "accelerate.state": "PartialState AcceleratorState GradientState",
    "accelerate.data_loader": "SeedableRandomSampler",
    "accelerate.utils.dataclasses": """AutocastKwargs ProfileKwargs DDPCommunicationHookType
        DistributedDataParallelKwargs
        GradScalerKwargs InitProcessGroupKwargs AORecipeKwargs TERecipeKwargs MSAMPRecipeKwargs FP8RecipeKwargs
        DistributedType SageMakerDistributedType FP8BackendType ComputeEnvironment DynamoBackend LoggerType
        PrecisionType RNGType CustomDtype DataLoaderConfiguration ProjectConfiguration GradientAccumulationPlugin
        TorchDynamoPlugin DeepSpeedPlugin FullyShardedDataParallelPlugin TorchTensorParallelPlugin
        TorchTensorParallelConfig TorchContextParallelConfig MegatronLMPlugin BnbQuantizationConfig""",
    "torch.distributed.fsdp.api": """ShardingStrategy BackwardPrefetch StateDictType MixedPrecision CPUOffload
        StateDictConfig FullStateDictConfig LocalStateDictConfig ShardedStateDictConfig OptimStateDictConfig
        FullOptimStateDictConfig LocalOptimStateDictConfig ShardedOptimStateDictConfig StateDictSettings""",
    "torch.distributed.checkpoint.metadata": """ChunkStorageMetadata _MEM_FORMAT_ENCODING TensorStorageMetadata
        BytesStorageMetadata StorageMeta Metadata MetadataIndex""",
    "torch.distributed.checkpoint.filesystem": "_StorageInfo _StoragePrefix",
}
# ``dict``: subclasses of dict without methods that run on filling; ``named``: only ever referred to; ``tuple``: made as
# ``new``, with a ``__setstate__`` that spreads a tuple over attributes. omegaconf's own sets the types of keys, munch's
# is ``update``; easydict's ``__setitem__`` makes dicts inside its own kind.
OLDER = {
    "enum": """transformers.trainer_utils.EvaluationStrategy transformers.trainer_utils.ShardedDDPOption
        transformers.file_utils.PaddingStrategy transformers.utils.generic.PaddingStrategy
        accelerate.state.DistributedType accelerate.state.ComputeEnvironment accelerate.state.SageMakerDistributedType
        accelerate.utils.RNGType optimum.onnxruntime.training_args.ORTOptimizerNames
        torch.distributed._shard.sharded_tensor.metadata.MEM_FORMAT_ENCODING
        deepspeed.runtime.zero.config.ZeroStageEnum deepspeed.runtime.zero.offload_config.OffloadDeviceEnum
        sentence_transformers.training_args.BatchSamplers sentence_transformers.training_args.MultiDatasetBatchSamplers
        sentence_transformers.base.sampler.BatchSamplers trl.trainer.dpo_config.FDivergenceType
        sentence_transformers.base.sampler.MultiDatasetBatchSamplers""",
    "new": """transformers.deepspeed.HfDeepSpeedConfig transformers.deepspeed.HfTrainerDeepSpeedConfig
        accelerate.utils.DeepSpeedPlugin transformers.training_args_tf.TFTrainingArguments
        transformers.sagemaker.training_args_sm.SageMakerTrainingArguments accelerate.utils.deepspeed.HfDeepSpeedConfig
        deepspeed.runtime.fp16.loss_scaler.LossScaler deepspeed.runtime.fp16.loss_scaler.DynamicLossScaler
        deepspeed.utils.tensor_fragment.fragment_address
        sentence_transformers.training_args.SentenceTransformerTrainingArguments
        sentence_transformers.sentence_transformer.training_args.SentenceTransformerTrainingArguments
        sentence_transformers.cross_encoder.training_args.CrossEncoderTrainingArguments
        sentence_transformers.sparse_encoder.training_args.SparseEncoderTrainingArguments
        sentence_transformers.multi_vector_encoder.training_args.MultiVectorEncoderTrainingArguments
        optimum.habana.transformers.training_args_seq2seq.GaudiSeq2SeqTrainingArguments
        optimum.habana.sentence_transformers.st_gaudi_training_args.SentenceTransformerGaudiTrainingArguments
        optimum.habana.trl.trainer.dpo_config.GaudiDPOConfig optimum.habana.trl.trainer.sft_config.GaudiSFTConfig
        setfit.training_args.TrainingArguments optimum.onnxruntime.training_args.ORTTrainingArguments
        optimum.onnxruntime.training_args_seq2seq.ORTSeq2SeqTrainingArguments
        optimum.habana.transformers.training_args.GaudiTrainingArguments
        optimum.intel.openvino.training_args.OVTrainingArguments llamafactory.hparams.training_args.TrainingArguments
        torch.distributed.checkpoint.filesystem._StoragePrefix
        trl.trainer.sft_config.SFTConfig trl.trainer.dpo_config.DPOConfig trl.trainer.orpo_config.ORPOConfig
        trl.trainer.kto_config.KTOConfig trl.trainer.cpo_config.CPOConfig trl.trainer.reward_config.RewardConfig
        trl.trainer.ppo_config.PPOConfig trl.trainer.grpo_config.GRPOConfig trl.trainer.bco_config.BCOConfig
        trl.trainer.gkd_config.GKDConfig trl.trainer.iterative_sft_config.IterativeSFTConfig
        trl.trainer.nash_md_config.NashMDConfig trl.trainer.online_dpo_config.OnlineDPOConfig
        trl.trainer.ppov2_config.PPOv2Config trl.trainer.prm_config.PRMConfig trl.trainer.rloo_config.RLOOConfig
        trl.trainer.xpo_config.XPOConfig
        omegaconf.dictconfig.DictConfig omegaconf.listconfig.ListConfig omegaconf.base.ContainerMetadata
        omegaconf.base.Metadata omegaconf.nodes.AnyNode omegaconf.nodes.StringNode omegaconf.nodes.IntegerNode
        omegaconf.nodes.FloatNode omegaconf.nodes.BooleanNode omegaconf.nodes.PathNode omegaconf.nodes.BytesNode""",
    "dict": """pytorch_lightning.utilities.parsing.AttributeDict lightning.pytorch.utilities.parsing.AttributeDict
        lightning_fabric.utilities.data.AttributeDict lightning.fabric.utilities.data.AttributeDict
        yacs.config.CfgNode easydict.EasyDict munch.Munch""",
    "tuple": """torch.distributed.checkpoint.metadata.TensorProperties
        torch.distributed._shard.sharded_tensor.metadata.TensorProperties""",
    "named": """typing.Any pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint
        pytorch_lightning.callbacks.early_stopping.EarlyStopping
        pytorch_lightning.callbacks.lr_monitor.LearningRateMonitor""",
}


def document() -> dict[str, object]:
    """The list with its sources, sorted."""
    rows: dict[str, set[tuple[str, str]]] = {kind: set() for kind in OLDER}
    for module, text in INSTALLED.items():
        held = importlib.import_module(module)
        for name in text.split():
            rows[kind_of(getattr(held, name))].add((module, name))
    for kind, text in OLDER.items():
        rows[kind] |= {(module, name) for module, _, name in (path.rpartition(".") for path in text.split())}
    libraries = ("transformers", "accelerate", "torch")
    versions = {name: importlib.metadata.version(name).split("+")[0] for name in libraries}
    return versions | {kind: [list(row) for row in sorted(pairs)] for kind, pairs in rows.items()}


def kind_of(found: type) -> str:
    """``enum``, or ``new`` if making one by ``__new__`` and filling its ``__dict__`` runs nothing of its own."""
    if issubclass(found, Enum):
        return "enum"
    own = [place for place in found.__mro__ if place.__module__ not in ("builtins", "typing")]
    assert found.__new__ is object.__new__, found
    assert not any(name in vars(place) for place in own for name in ("__setstate__", "__del__")), found
    return "new"


if __name__ == "__main__":
    place = Path(__file__).parents[1] / "hubclean" / "scanning" / "pickles" / "state_names.json"
    text = json.dumps(document(), indent=1).replace("[\n   ", "[").replace(",\n   ", ", ").replace("\n  ]", "]")
    place.write_text(text + "\n")
