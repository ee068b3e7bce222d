"""Writes a machine-learning bill of materials in CycloneDX 1.6 (ECMA-424): the model, its data and its software."""

from collections.abc import Mapping
from typing import Any


def to_bom(card: Mapping[str, Any], model: str, version: int, made: str) -> dict[str, Any]:
    """Returns the bill of materials of a pushed version.

    Args:
        card: the model card's `evidence.json`.
        model: name of the served model.
        version: the pushed version.
        made: time of writing, UTC, ISO 8601.
    """
    owner, data, training = card["owner"], card["data"], card["training"]
    quality = card["quality"]
    metrics = [
        _metric("accuracy", "all", quality["slices"]["all"]["accuracy"]),
        *(_metric("recall", name, one["recall"]) for name, one in quality["classes"].items()),
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": made,
            "component": {
                "type": "machine-learning-model",
                "bom-ref": "model",
                "name": model,
                "version": str(version),
                "description": owner["overview"],
                "hashes": [{"alg": "SHA-256", "content": card["export"]["sha256"]}],
                "modelCard": {
                    "modelParameters": {
                        "approach": {"type": "supervised"},
                        "task": "text classification",
                        "architectureFamily": "recurrent neural network",
                        **({"modelArchitecture": training["architecture"]} if "architecture" in training else {}),
                        "datasets": [{"ref": "data"}],
                        "inputs": [{"format": "text"}],
                        "outputs": [{"format": "class with a probability for each class"}],
                    },
                    "quantitativeAnalysis": {"performanceMetrics": metrics},
                    "considerations": {
                        "users": owner["users"],
                        "useCases": owner["use_cases"],
                        "technicalLimitations": owner["limitations"],
                        "performanceTradeoffs": owner["tradeoffs"],
                        "ethicalConsiderations": [
                            {"name": one["risk"], "mitigationStrategy": one["mitigation"]}
                            for one in owner["ethical_considerations"]
                        ],
                    },
                },
            },
        },
        "components": [
            {
                "type": "data",
                "bom-ref": "data",
                "name": owner["data"]["name"],
                "hashes": [{"alg": "SHA-256", "content": data["examples"]["sha256"]}],
                "licenses": [{"license": {"name": owner["data"]["license"]}}],
                "externalReferences": [{"type": "website", "url": owner["data"]["link"]}],
            },
            *(
                {
                    "type": "library",
                    "bom-ref": f"pkg:pypi/{name}@{number}",
                    "name": name,
                    "version": number,
                    "purl": f"pkg:pypi/{name}@{number}",
                }
                for name, number in card["environment"]["versions"].items()
                if name.lower() != "python"
            ),
        ],
        "dependencies": [{"ref": "model", "dependsOn": ["data"]}],
    }


def _metric(kind: str, part: str, share: Mapping[str, float]) -> dict[str, Any]:
    interval = {"lowerBound": f"{share['low']:.4f}", "upperBound": f"{share['high']:.4f}"}
    return {"type": kind, "slice": part, "value": f"{share['value']:.4f}", "confidenceInterval": interval}
