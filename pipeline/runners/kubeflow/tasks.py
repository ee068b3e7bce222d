"""Names that compiler and pods share; light to import, since each pod does."""

EXAMPLE_GEN, TRAINER, PUSHER = "AgNewsExampleGen", "Trainer", "AgNewsPusher"
# There is one where promotion.require_approval says so.
GATE = "ApprovalGate"
PREVIOUS_STATISTICS, BASELINE = "PreviousStatisticsResolver", "BaselineResolver"
# Tasks that there are on Kubeflow alone.
FIND_DATA, KEEPER = "FindData", "KeepStatistics"
# What the first one tells the ingesting one, as a parameter.
FOUND_DATA = "found_data"
LATEST_SPAN = -1
# The runtime parameter that says who started a run whose model must be approved.
AUTHOR = "author"
