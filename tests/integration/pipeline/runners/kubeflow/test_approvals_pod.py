"""Checks the pod for approvals against Kubernetes' own schema and the Kubeflow profile."""

import kubernetes_validate
import yaml

from tests.support import ROOT

MANIFEST = ROOT / "docs/guides/approvals_pod.yaml"


def test_it_is_a_pod_that_mounts_the_volume_of_the_pipelines_pods(settings_at):
    pod = yaml.safe_load(MANIFEST.read_text())
    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
    kubeflow = settings_at("/agnews").kubeflow
    [container], [volume] = pod["spec"]["containers"], pod["spec"]["volumes"]
    assert container["image"] == kubeflow.image
    assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": kubeflow.mount_path}]
    assert volume["persistentVolumeClaim"] == {"claimName": kubeflow.volume_claim}
