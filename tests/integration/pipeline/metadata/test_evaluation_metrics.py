from pipeline.metadata.evaluation_metrics import overall_metrics


def test_metrics_are_those_of_the_candidate_over_all_rows(evaluation):
    assert overall_metrics(evaluation) == {"accuracy": 0.875}


def test_a_missing_evaluation_has_no_metrics(tmp_path):
    assert overall_metrics(tmp_path / "gone") == {}
