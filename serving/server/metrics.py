"""Prometheus metrics with TensorFlow Serving's names. Times are in microseconds.

Names, labels and buckets are those of tensorflow/serving, servables/tensorflow/util.cc, saved_model_warmup_util.cc,
core/request_logger.cc, machine_learning_metadata.cc and batching/batching_session.cc, and of tensorflow/tensorflow,
cc/saved_model/loader.cc, with colons in place of slashes.
"""

import re
from collections.abc import Iterator

import prometheus_client
from prometheus_client.samples import Sample

METRICS_PATH = "/monitoring/prometheus/metrics"
"""URL path of the metrics, unless a MonitoringConfig names another one."""

_PREFIX = ":tensorflow:serving:"
_LATENCY_BUCKETS = tuple(10 * 1.8**power for power in range(33))
_QUEUING_BUCKETS = tuple(100 * 1.2**power for power in range(52))
_EXAMPLE_BUCKETS = tuple(float(1 << power) for power in range(15))
_SIZE_BUCKETS = tuple(float(1 << power) for power in range(11))
# TensorFlow Serving's counters have no suffix, but the library adds one to the HELP and TYPE lines.
_SUFFIX = re.compile(rb"^(# (?:HELP|TYPE) \S+)_total\b", re.MULTILINE)


class _UnsuffixedCounter(prometheus_client.Counter):
    def _child_samples(self) -> Iterator[Sample]:
        yield Sample("", {}, self._value.get(), None, None)


class _PlainHistogram(prometheus_client.Histogram):
    def _child_samples(self) -> Iterator[Sample]:
        return (sample for sample in super()._child_samples() if sample.name != "_created")


class Metrics:
    """Metrics of one server, in a separate registry."""

    def __init__(self) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        self.requests = self._counter(
            "request_count", "Number of requests by model and status.", "model_name", "status"
        )
        self.request_latency = self._histogram(
            "request_latency",
            "Duration of requests in microseconds.",
            _LATENCY_BUCKETS,
            "model_name",
            "API",
            "entrypoint",
        )
        self.runtime_latency = self._histogram(
            "runtime_latency",
            "Duration of graph runs in microseconds, including the wait for a batch.",
            _LATENCY_BUCKETS,
            "model_name",
            "API",
            "runtime",
        )
        self.request_logs = self._counter(
            "request_log_count",
            "Number of sampled requests by status of their log record.",
            "model_name",
            "status_code",
        )
        self._examples = self._counter("request_example_count_total", "Number of tf.Examples in requests.", "model")
        self._example_counts = self._histogram(
            "request_example_counts", "Number of tf.Examples per request.", _EXAMPLE_BUCKETS, "model"
        )
        self.load_attempts = _UnsuffixedCounter(
            ":tensorflow:cc:saved_model:load_attempt_count",
            "Number of attempts to load a SavedModel by status.",
            ("model_path", "status"),
            registry=self._registry,
        )
        self.load_latency = _UnsuffixedCounter(
            ":tensorflow:cc:saved_model:load_latency",
            "Duration of successful loads of a SavedModel in microseconds.",
            ("model_path",),
            registry=self._registry,
        )
        self.warmup_latency = self._histogram(
            "model_warmup_latency", "Duration of warm-ups in microseconds.", _LATENCY_BUCKETS, "model_path", "status"
        )
        self.warmup_records = self._counter(
            "model_warmup_records_read", "Number of warm-up requests that were read.", "model_path", "status"
        )
        self.mlmd = prometheus_client.Gauge(
            f"{_PREFIX}mlmd_map",
            "ML Metadata id of a served version.",
            ("model_name", "version", "mlmd_uuid"),
            registry=self._registry,
        )
        self.queuing_latency = self._histogram(
            "batching_session:queuing_latency",
            "Time that requests waited for their batch in microseconds.",
            _QUEUING_BUCKETS,
            "thread_pool_name",
        )
        self.batch_size = self._histogram(
            "batching_session:processed_batch_size", "Number of rows in batches, including padding.", _SIZE_BUCKETS
        )
        self.batches = self._counter("batching_session:wrapped_run_count", "Number of batches that were run.")

    def count_examples(self, model: str, count: int) -> None:
        """Counts the tf.Examples of a request."""
        self._examples.labels(model).inc(count)
        self._example_counts.labels(model).observe(count)

    def forget_version(self, model: str, version: int, path: str) -> None:
        """Removes the time series of an unloaded version, which would otherwise accumulate with each push."""
        self.mlmd.remove_by_labels({"model_name": model, "version": str(version)})
        for metric in (self.warmup_latency, self.warmup_records, self.load_attempts, self.load_latency):
            metric.remove_by_labels({"model_path": path})

    def exposition(self) -> bytes:
        """Returns all metrics in Prometheus text format."""
        return _SUFFIX.sub(rb"\1", prometheus_client.generate_latest(self._registry))

    def _counter(self, name: str, text: str, *labels: str) -> prometheus_client.Counter:
        # The library removes one such suffix from the name.
        suffix = "_total" if name.endswith("_total") else ""
        return _UnsuffixedCounter(f"{_PREFIX}{name}{suffix}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> prometheus_client.Histogram:
        return _PlainHistogram(f"{_PREFIX}{name}", text, labels, buckets=buckets, registry=self._registry)
