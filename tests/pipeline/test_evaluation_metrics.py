from pipeline.metadata.evaluation_metrics import overall_metrics


def test_metrics_are_the_candidates_over_all_rows(evaluation):
    assert overall_metrics(evaluation) == {"accuracy": 0.875}


def test_an_evaluation_that_is_gone_has_none(tmp_path):
    assert overall_metrics(tmp_path / "gone") == {}
