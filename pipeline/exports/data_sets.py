"""Describes artifacts as OpenLineage data sets: names, versions, schemas, statistics and verdicts."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from google.protobuf import text_format
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    dataset_type_dataset,
    dataset_version_dataset,
    datasource_dataset,
    output_statistics_output_dataset,
    schema_dataset,
)
from openlineage.client.facet_v2 import data_quality_assertions_dataset as assertions
from openlineage.client.facet_v2 import data_quality_metrics_input_dataset as metrics
from openlineage.client.naming.dataset import GCS, HDFS, S3, DatasetNaming, LocalFileSystem
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.dsl.io import fileio

from pipeline.metadata.snapshot import Artifact, Execution, Link, Snapshot
from schema.metadata import (
    EXAMPLES,
    INFRA_BLESSING,
    MODEL,
    MODEL_BLESSING,
    PUSHED_MODEL,
    SCHEMA,
    SCHEMA_FILE,
    STATISTICS,
    STATISTICS_FILE,
    TRANSFORM_GRAPH,
)
from schema.paths import is_remote

_TYPES = {schema_pb2.BYTES: "string", schema_pb2.INT: "int64", schema_pb2.FLOAT: "float"}
_MODELS = (MODEL, PUSHED_MODEL)


def name_data_set(uri: str) -> tuple[str, str]:
    """Returns the namespace and the name of a path or URI by OpenLineage's naming rules.

    Args:
        uri: path on this machine, or a URI such as `s3://bucket/path`.
    """
    scheme, separator, rest = uri.partition("://")
    authority, _, path = rest.partition("/")
    naming: DatasetNaming
    if separator and scheme in ("s3", "s3a"):
        naming = S3(authority, path or "/")
    elif separator and scheme == "gs":
        naming = GCS(authority, path or "/")
    elif separator and scheme == "hdfs":
        host, _, port = authority.partition(":")
        naming = HDFS(host, port or "8020", f"/{path}")
    elif separator and scheme != "file":
        return f"{scheme}://{authority}", path
    else:
        naming = LocalFileSystem(f"/{path}" if separator else os.path.abspath(uri))
    return naming.get_namespace(), naming.get_name()


class DataSets:
    """Describes the artifacts of a snapshot as data sets.

    An output of a component is one data set, and each artifact is a version of it: the last part of an artifact's URI
    is the number of the execution that made it, and is not part of the data set's name.

    Args:
        snapshot: content of the metadata store.
        sources: directory that each execution of ExampleGen read, by the execution's id.
    """

    def __init__(self, snapshot: Snapshot, sources: Mapping[int, str]):
        self._snapshot, self._sources = snapshot, sources

    def inputs(self, execution: int) -> list[InputDataset]:
        """Returns the data sets that an execution read, with what it found out about them."""
        snapshot = self._snapshot
        made = self._artifacts(snapshot.outputs(execution))
        links = [*snapshot.inputs(execution), *snapshot.found(execution)]
        found = [self._input(artifact, made) for artifact in self._artifacts(links)]
        if execution in self._sources:
            facets: dict[str, DatasetFacet] = {"datasetType": _data_set_type("FILE", "source")}
            for artifact in made:
                if "input_fingerprint" in artifact.properties:
                    facets["version"] = _version(artifact.properties["input_fingerprint"].replace("\n", "; "))
            namespace, name = name_data_set(self._sources[execution])
            found.append(InputDataset(namespace, name, facets=facets))
        return found

    def outputs(self, execution: int) -> list[OutputDataset]:
        """Returns the data sets that an execution made or took from the cache."""
        artifacts = self._artifacts(self._snapshot.outputs(execution))
        return [self._output(one) for one in artifacts if one.type != PUSHED_MODEL or one.is_pushed]

    def _artifacts(self, links: Sequence[Link]) -> list[Artifact]:
        """Returns the artifacts of links, each once: an artifact may have two roles, and a decision has no files."""
        artifacts = (self._snapshot.artifacts[artifact] for artifact in dict.fromkeys(link.artifact for link in links))
        return [artifact for artifact in artifacts if artifact.uri]

    def _input(self, artifact: Artifact, made: Sequence[Artifact]) -> InputDataset:
        facets: dict[str, InputDatasetFacet] = {}
        statistics = next((one for one in made if one.type == STATISTICS), None)
        if artifact.type == EXAMPLES and statistics and (measured := _metrics(statistics)):
            facets["dataQualityMetrics"] = measured
        if artifact.type == MODEL and (verdicts := _verdicts(artifact, made)):
            facets["dataQualityAssertions"] = verdicts
        namespace, name, described = self._describe(artifact)
        return InputDataset(namespace, name, facets=described, inputFacets=facets)

    def _output(self, artifact: Artifact) -> OutputDataset:
        namespace, name, described = self._describe(artifact)
        output = OutputDataset(namespace, name, facets=described)
        if "rows_written" in artifact.properties:
            rows = artifact.properties["rows_written"]
            output.outputFacets = {
                "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=rows)
            }
        return output

    def _describe(self, artifact: Artifact) -> tuple[str, str, dict[str, DatasetFacet]]:
        """Returns namespace, name and facets of an artifact's data set."""
        uri, version = artifact.uri, str(artifact.id)
        if artifact.is_pushed:
            uri = artifact.properties.get("pushed_destination", artifact.uri)
            version = artifact.properties["pushed_version"]
        place, _, last = uri.rpartition("/")
        namespace, name = name_data_set(place if last.isdecimal() else uri)
        facets: dict[str, DatasetFacet] = {
            "version": _version(version),
            "datasetType": _data_set_type("MODEL" if artifact.type in _MODELS else "FILE", artifact.type),
            "dataSource": datasource_dataset.DatasourceDatasetFacet(
                namespace, uri if is_remote(uri) else Path(uri).as_uri()
            ),
        }
        if fields := self._fields(artifact):
            facets["schema"] = schema_dataset.SchemaDatasetFacet(fields)
        return namespace, name, facets

    def _fields(self, artifact: Artifact) -> list[schema_dataset.SchemaDatasetFacetFields]:
        """Returns the columns of rows, from the schema that the same run made; none if its file is gone."""
        maker = self._snapshot.maker(artifact.id)
        if artifact.type != EXAMPLES or maker is None or maker.run is None:
            return []
        graph = self._find([maker], TRANSFORM_GRAPH)
        if graph:
            return _read_fields(f"{graph.uri}/transformed_metadata/{SCHEMA_FILE}")
        schema = self._find(self._snapshot.executions_of(maker.run), SCHEMA)
        return _read_fields(f"{schema.uri}/{SCHEMA_FILE}") if schema else []

    def _find(self, executions: Sequence[Execution], kind: str) -> Artifact | None:
        """Returns the first output of a type."""
        links = (link for execution in executions for link in self._snapshot.outputs(execution.id))
        artifacts = (self._snapshot.artifacts[link.artifact] for link in links)
        return next((artifact for artifact in artifacts if artifact.type == kind), None)


def _version(text: str) -> DatasetFacet:
    return dataset_version_dataset.DatasetVersionDatasetFacet(text)


def _data_set_type(kind: str, part: str) -> DatasetFacet:
    return dataset_type_dataset.DatasetTypeDatasetFacet(kind, part)


def _verdicts(model: Artifact, made: Sequence[Artifact]) -> InputDatasetFacet | None:
    """Returns what a component decided about a model, not about the baseline that it compared the model with."""
    judged = [one for one in made if one.type in (MODEL_BLESSING, INFRA_BLESSING)]
    verdicts = [
        assertions.Assertion(one.type, one.properties.get("blessed") == 1)
        for one in judged
        if one.properties.get("current_model_id", model.id) == model.id
    ]
    return assertions.DataQualityAssertionsDatasetFacet(verdicts) if verdicts else None


def _read_fields(path: str) -> list[schema_dataset.SchemaDatasetFacetFields]:
    if not fileio.exists(path):
        return []
    with fileio.open(path) as file:
        schema = text_format.Parse(file.read(), schema_pb2.Schema())
    return [schema_dataset.SchemaDatasetFacetFields(one.name, _TYPES.get(one.type)) for one in schema.feature]


def _metrics(statistics: Artifact) -> InputDatasetFacet | None:
    """Returns rows, missing values and ranges of all splits together; None if the files are gone."""
    rows, columns = 0, dict[str, metrics.ColumnMetrics]()
    for path in sorted(fileio.glob(f"{statistics.uri}/Split-*/{STATISTICS_FILE}")):
        with fileio.open(path, "rb") as file:
            split = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read()).datasets[0]
        rows += split.num_examples
        for feature in split.features:
            values = feature.num_stats if feature.HasField("num_stats") else None
            common = (values or feature.string_stats).common_stats
            column = columns.setdefault(feature.path.step[0], metrics.ColumnMetrics(nullCount=0, count=0))
            column.nullCount += common.num_missing
            column.count += common.num_non_missing
            if values:
                column.min = min(values.min, values.min if column.min is None else column.min)
                column.max = max(values.max, values.max if column.max is None else column.max)
    return metrics.DataQualityMetricsInputDatasetFacet(columns, rowCount=rows) if rows else None
