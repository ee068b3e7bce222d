"""One thin module an orchestrator: each runs what `pipeline.dag` builds."""
