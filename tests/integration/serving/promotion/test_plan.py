"""Runs random sequences of commands against a server as strict as TensorFlow Serving."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from serving.promotion import Deployment, PromotionError, Signature, promote, prune, roll_back
from serving.versions import loadable


@pytest.fixture
def machine(push, server):
    """Returns the state machine with the helpers of this directory."""
    ServedModel.push, ServedModel.server_kind = staticmethod(push), type(server)
    return ServedModel


class ServedModel(RuleBasedStateMachine):
    """Runs commands as users do, and checks the invariants after each."""

    @initialize()
    def start(self):
        self.place = tempfile.TemporaryDirectory()
        directory = Path(self.place.name) / "agnews"
        config = mlmd.ConnectionConfig()
        config.fake_database.SetInParent()
        self.push(directory, 1)
        self.server = self.server_kind(directory)
        self.server.loaded = {1}
        self.deployment = Deployment(directory.parent, "agnews", MetadataStore(config), server=self.server)

    def teardown(self):
        self.place.cleanup()

    def attempt(self, command, *arguments):
        try:
            command(self.deployment, *arguments, Signature("me"))
        except PromotionError:
            return False
        return True

    @rule()
    def a_version_is_pushed(self):
        self.push(self.deployment.directory, max(self.deployment.versions()) + 1)

    @rule(version=st.integers(1, 9), label=st.sampled_from(["stable", "canary"]))
    def promote(self, version, label):
        self.attempt(promote, version, label)

    @rule(version=st.none() | st.integers(1, 9))
    def roll_back(self, version):
        live = self.deployment.loaded().production_version
        if self.attempt(roll_back, version):
            assert live not in self.deployment.served().labels.values()

    @rule(keep=st.integers(1, 3))
    def prune(self, keep):
        assert self.attempt(prune, keep)
        assert len(loadable(self.deployment.versions())) >= 1

    @rule(version=st.integers(1, 9), broken=st.booleans())
    def a_version_breaks_or_is_mended(self, version, broken):
        if version not in self.server.loaded:
            (self.server.broken.add if broken else self.server.broken.discard)(version)

    @invariant()
    def no_label_was_ever_moved_to_a_version_that_was_not_loaded(self):
        assert self.server.refusals == []

    @invariant()
    def every_label_leads_to_a_loaded_version_that_is_there(self):
        served = self.deployment.served()
        assert set(served.labels.values()) <= served.versions
        assert set(self.server.labels.values()) <= self.server.loaded
        assert self.server.loaded <= set(loadable(self.deployment.versions()))
        assert self.server.loaded

    @invariant()
    def the_server_serves_what_the_file_says(self):
        if self.deployment.config_path.exists():
            assert self.server.labels == self.deployment.served().labels

    @invariant()
    def no_change_is_left_open(self):
        assert all(record.state != "RUNNING" for record in self.deployment.records.all())


def test_whatever_is_commanded_every_label_is_served(machine):
    machine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
    machine.TestCase().runTest()
