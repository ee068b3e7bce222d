"""Names that the compiler and the pods share; this module imports nothing, because each pod imports it."""

EXAMPLE_GEN, TRAINER, PUSHER = "AgNewsExampleGen", "Trainer", "AgNewsPusher"
# Only with promotion.require_approval.
GATE = "ApprovalGate"
PREVIOUS_STATISTICS, BASELINE = "PreviousStatisticsResolver", "BaselineResolver"
# Tasks that exist only on Kubeflow.
FIND_DATA, KEEPER = "FindData", "KeepStatistics"
# The output of FindData, a parameter of the ingesting task.
FOUND_DATA = "found_data"
LATEST_SPAN = -1
# The runtime parameter with the name of the person who starts a run, if the model needs an approval.
AUTHOR = "author"
