import yaml

from tests.support import ROOT

MANIFEST = ROOT / "serving/deploy/kserve/inference_service.yaml"


def test_the_service_runs_the_validated_release_on_the_claim_of_the_models():
    service = yaml.safe_load(MANIFEST.read_text())
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    model = service["spec"]["predictor"]["model"]
    compose = yaml.safe_load((ROOT / "serving/deploy/compose.yaml").read_text())
    assert compose["services"]["tf-serving"]["image"] == f"tensorflow/serving:{model['runtimeVersion']}"
    volume = yaml.safe_load((ROOT / "serving/deploy/kubernetes/base/volume.yaml").read_text())
    assert model["storageUri"] == f"pvc://{volume['metadata']['name']}/{service['metadata']['name']}"
    assert model["modelFormat"] == {"name": "tensorflow"}
