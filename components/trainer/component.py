"""TFX's Trainer, which also records the files and the author of each model in the metadata store."""

from tfx.components import Trainer
from tfx.components.trainer.executor import GenericExecutor
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils
from tfx.types.standard_component_specs import MODEL_KEY

from components.manifest import record_files
from serving.audit import identity


class TrainerExecutor(GenericExecutor):
    """Trains as TFX's executor does, then records the exported files."""

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict) -> None:
        """See tfx/components/trainer/executor.py."""
        super().Do(input_dict, output_dict, exec_properties)
        record_files(artifact_utils.get_single_instance(output_dict[MODEL_KEY]), identity())


class AgNewsTrainer(Trainer):
    """The Trainer component with the executor above."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(TrainerExecutor)
