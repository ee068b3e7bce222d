"""What runs, in which order, with which settings, on which orchestrator."""
