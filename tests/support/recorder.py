"""Records the events of a run in this process."""


class Recorder:
    """A watcher of `pipeline.runners.local.run`.

    Attributes:
        upstream: upstream components of each component.
        changes: pairs of a component and its new state, in order.
    """

    def __init__(self):
        self.upstream = {}
        self.changes = []

    @property
    def states(self):
        """The last state of each component."""
        return dict(self.changes)

    def run_began(self, upstream):
        self.upstream = upstream

    def component_changed(self, event):
        self.changes.append((event.component, event.state))

    def progressed(self, event):
        pass
