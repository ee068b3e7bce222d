"""Tests of the pages over HTTP: content, errors and decisions."""

import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import hypothesis
import pytest
from hypothesis import strategies as st
from ml_metadata.proto import metadata_store_pb2 as mlmd

from benchmarks.review_store import SimulatedStore
from pipeline.governance.audit_check import audit_log
from pipeline.metadata.connection import connection_config, open_store
from pipeline.metadata.runs import note_failure, note_graph
from pipeline.metadata.store_reader import StoreReader
from pipeline.review.login import SECRET_HEADER, ProxyLogin, Rights
from pipeline.review.pages.models import refusals_of_model
from pipeline.review.security import Tokens
from schema.model_contract import MLMD_UUID
from serving.audit import Entry
from tests.support.review_site import TOKEN, serving, settings_of, text, waiting_store


@pytest.fixture(scope="module")
def ids(snapshot):
    return [model.id for model in snapshot.of_type("Model")]


@pytest.fixture(scope="module")
def runs(snapshot):
    return list(snapshot.runs)


def rows(response):
    """Returns the text of each row of the page's first table."""
    table = response.text.partition("<table")[2].partition("</table>")[0]
    return [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in re.split(r"<tr\b[^>]*>", table)[2:]]


def test_the_first_page_answers_the_five_questions(site, ids, simulated):
    page = site.get("/", follow_redirects=True)
    shown = text(page)
    assert f"Version {simulated.versions[-1]} , pushed" in shown
    assert f"It is model {ids[-1]}" in shown
    assert "span 1 source simulated rows synthetic rows 1,251 read, 950 for training, 1 quarantined" in shown
    assert "revision 0000000000000000000000000000000000000000" in shown
    assert re.search(r"accuracy 0\.\d{4}, 95 % interval 0\.\d{4} to 0\.\d{4}, 120 test rows", shown)
    assert "approved by bob@example.com (claimed), 2026-01-02 03:04 UTC: the evidence, as it is" in shown
    assert f"The previous version was {simulated.versions[-2]}: model {ids[-2]}" in shown
    assert f"Changed settings name model {ids[-2]} model {ids[-1]} epochs 4 5" in shown


def test_the_time_of_a_push_is_from_the_audit_log(tmp_path):
    made = SimulatedStore(tmp_path, files=1, test_rows=8)
    made.add_runs(1)
    [version] = made.serve(tmp_path / "serving_model", 1)
    os.utime(tmp_path / f"serving_model/agnews/{version}" / MLMD_UUID, (86_400, 86_400))
    log = audit_log(settings_of(tmp_path))
    logged = log.last_push("agnews", version).when
    with serving(settings_of(tmp_path)) as client:
        shown = text(client.get("/served"))
        assert f"pushed {logged[:10]} {logged[11:16]} UTC" in shown
        assert "1970-01-02" not in shown
    log.path.unlink()
    with serving(settings_of(tmp_path)) as client:
        assert "pushed 1970-01-02 00:00 (date of a file; the audit log has no push) UTC" in text(client.get("/served"))


def test_a_roll_back_is_shown_with_the_model_that_it_left(tmp_path):
    made = SimulatedStore(tmp_path, files=2, test_rows=8)
    made.add_runs(2)
    first, second = made.serve(tmp_path / "serving_model", 2)
    details = {"label": "stable", "from": second}
    audit_log(settings_of(tmp_path)).append(
        Entry("rollback", "agnews", first, by="ann@here", why="finds no sports", details=details)
    )
    with serving(settings_of(tmp_path)) as client:
        for _, model in made.pushed:
            shown = text(client.get(f"/models/{model}"))
            assert f"rollback stable {second} → {first} ann@here (claimed) finds no sports" in shown


def test_a_changed_served_file_of_same_size_and_time_is_reported(tmp_path):
    made = SimulatedStore(tmp_path, files=1, test_rows=8)
    made.add_runs(1)
    [version] = made.serve(tmp_path / "serving_model", 1)
    file = tmp_path / f"serving_model/agnews/{version}/saved_model.pb"
    with serving(settings_of(tmp_path)) as client:
        assert "Its files are the pushed files" in text(client.get("/served"))
        before = file.stat()
        file.write_bytes(file.read_bytes()[::-1])
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        shown = text(client.get("/served"))
        assert "Alarm: this model is live Its files could not be verified: differs: saved_model.pb." in shown


def test_a_second_directory_of_the_served_version_is_reported(tmp_path):
    made = SimulatedStore(tmp_path, files=1, test_rows=8)
    made.add_runs(1)
    [version] = made.serve(tmp_path / "serving_model", 1)
    with serving(settings_of(tmp_path)) as client:
        shutil.copytree(tmp_path / f"serving_model/agnews/{version}", tmp_path / f"serving_model/agnews/0{version}")
        assert f"'0{version}' is a name for it too" in text(client.get("/served"))


def test_a_push_entry_without_fingerprints_is_reported(tmp_path):
    made = SimulatedStore(tmp_path, files=1, test_rows=8)
    made.add_runs(1)
    made.serve(tmp_path / "serving_model", 1)
    log = tmp_path / "serving_model/audit.jsonl"
    log.write_text(log.read_text().replace('"files"', '"filed"'))
    with serving(settings_of(tmp_path)) as client:
        assert "the entry of its push holds no fingerprints of files" in text(client.get("/served"))


def test_a_models_config_with_another_directory_is_reported(tmp_path):
    made = SimulatedStore(tmp_path, files=1, test_rows=8)
    made.add_runs(1)
    made.serve(tmp_path / "serving_model", 1)
    config = tmp_path / "serving_model/models.config"
    config.write_text('model_config_list { config { name: "agnews" base_path: "/models/agnews" } }')
    with serving(settings_of(tmp_path)) as client:
        assert "models.config loads agnews from /models/agnews; that is not what was" in text(client.get("/served"))


def test_runs_are_listed_newest_first_or_sorted_by_a_column(site):
    newest = rows(site.get("/runs"))
    assert [row.split()[0] for row in newest[:2]] == ["local-000011", "local-000010"]
    oldest = rows(site.get("/runs?sort=run&order=asc"))
    assert oldest[0].startswith("local-000000")
    found = [re.search(r"\d\.\d{4}", row) for row in rows(site.get("/runs?sort=accuracy"))]
    accuracies = [float(match.group()) for match in found if match]
    assert accuracies == sorted(accuracies, reverse=True)
    assert "–" in rows(site.get("/runs?sort=accuracy"))[-1]


def test_the_first_page_says_that_it_reads_files_and_asks_no_server(site, settings):
    shown = text(site.get("/served"))
    assert f"This is what the files in {settings.pusher.destination} say; no server was asked." in shown


def test_a_monitored_change_of_the_served_version_is_an_alarm(site):
    assert "Alarm: this model is live Monitoring found drift of predicted class" in text(site.get("/served"))


def test_the_approvals_list_has_time_card_and_change_of_accuracy(site):
    newest = rows(site.get("/approvals"))[0]
    assert re.match(r"\d+ \d{4}-\d\d-\d\d \d\d:\d\d approved ann@example.com 0\.\d{4} [+−]\d\.\d\d 1 of 1", newest)
    assert "card" in newest


def test_a_failed_run_shows_its_error_status_and_log_first(tmp_path):
    made = SimulatedStore(tmp_path, files=1, test_rows=8)
    made.add_runs(8)
    log = tmp_path / "logs/local-000007.log"
    log.parent.mkdir()
    log.write_text("a line\nValidationGate <failed>\n")
    note_failure(made.store, "local-000007", "ValidationGate", r"row 7 of C:\x is bad", 4, str(log))
    with serving(settings_of(tmp_path)) as client:
        [run] = re.findall(r'/runs/(\d+)"', client.get("/runs?status=failed").text)
        shown = text(client.get(f"/runs/{run}"))
        assert r"ValidationGate failed: row 7 of C:\x is bad Exit status 4. The log is" in shown
        assert shown.index("Exit status 4") < shown.index("Summary")
        assert r"row 7 of C:\x is bad" in text(client.get("/runs?q=ROW+bad"))
        assert "a line ValidationGate <failed>" in text(client.get(f"/runs/{run}/log"))
        assert client.get(f"/runs/{int(run) - 1}/log").status_code == 404


def test_a_running_run_reloads_until_the_reader_stops_it(tmp_path):
    made = SimulatedStore(tmp_path, files=1, test_rows=8)
    made.add_runs(1)
    [execution] = made.store.get_executions()[-1:]
    execution.last_known_state = mlmd.Execution.RUNNING
    made.store.put_executions([execution])
    with serving(settings_of(tmp_path)) as client:
        [run] = re.findall(r'/runs/(\d+)"', client.get("/runs").text)
        assert client.get(f"/runs/{run}").headers["refresh"] == "5"
        assert "refresh" not in client.get(f"/runs/{run}?reload=off").headers


def test_models_are_found_by_text(site, ids):
    assert [row.split()[0] for row in rows(site.get("/models?q=rejected"))] == [str(ids[-3])]
    assert "0 models" in text(site.get("/models?q=no+such+model"))


def test_card_and_report_link_back_to_the_site(site, ids, simulated):
    assert f'<body><nav aria-label="Back"><a href="/models/{ids[0]}">' in site.get(f"/models/{ids[0]}/card").text
    report = site.get(f"/monitoring/{simulated.versions[-1]}/20260102T060000.000Z")
    assert '<body><nav aria-label="Back"><a href="/monitoring">' in report.text


def test_cells_have_the_label_of_their_column_and_a_role(site):
    page = site.get("/runs").text
    assert '<td role="cell" data-label="accuracy" class="number">' in page
    assert '<th role="rowheader" data-label="run" scope="row">' in page


def test_runs_are_filtered_by_status(site):
    [failed] = rows(site.get("/runs?status=failed"))
    assert failed.startswith("local-000007")
    assert "failed ValidationGate" in failed
    [waiting] = rows(site.get("/runs", params={"status": "waiting for approval"}))
    assert "waiting for approval ApprovalGate" in waiting


def test_runs_and_models_are_filtered_by_a_setting(site, runs, ids):
    page = site.get("/runs?setting=trainer.epochs=3+trainer.units%3D16")
    assert [row.split()[0] for row in rows(page)] == [f"local-{number:06d}" for number in (9, 5, 1)]
    assert '<option value="trainer.epochs=3">' in page.text
    models = site.get("/models?setting=trainer.epochs=2&q=blessed")
    assert len(rows(models)) == 3
    assert '<input type="hidden" name="setting" value="trainer.epochs=2">' in models.text
    assert "did you mean 'trainer.epochs'?" in text(site.get("/models?setting=trainer.epoch=2"))
    assert "expected NAME=VALUE" in text(site.get("/runs?setting=trainer.epochs"))


def test_a_run_page_shows_components_states_and_artifacts(site, runs):
    page = site.get(f"/runs/{runs[5]}")
    shown = text(page)
    assert "AgNewsExampleGen cached" in shown
    assert "taken from the cache" in shown
    assert page.text.count('class="box state-cached"') == 13
    assert re.search(r'<a href="/lineage/\d+">agnews.ModelCard \d+</a>', page.text)


def test_the_graph_of_a_run_is_the_stored_one_with_control_arrows(tmp_path):
    made = SimulatedStore(tmp_path, files=1, test_rows=8)
    made.add_runs(8)
    upstream = {"StatisticsGen": [], "ValidationGate": ["StatisticsGen"], "Trainer": ["ValidationGate"]}
    note_graph(made.store, "local-000007", upstream, [("ValidationGate", "Trainer")])
    with serving(settings_of(tmp_path)) as client:
        run = next(one for one in client.get("/runs?status=failed").text.split('"') if re.fullmatch(r"/runs/\d+", one))
        page = client.get(run).text
    picture = page.partition("<svg")[2].partition("</svg>")[0]
    assert re.findall(r'class="title">([^<]*)<', picture) == ["StatisticsGen", "ValidationGate", "Trainer"]
    assert picture.count('class="arrow"') == picture.count('class="arrow thin"') == 1
    assert "Trainer not started" in picture


def test_a_data_page_shows_statistics_histogram_and_anomalies(site, runs):
    page = site.get(f"/runs/{runs[0]}/data?split=test")
    assert "test text_length warning Some texts are <long>. " in text(page)
    assert page.text.count('<rect class="bar"') == 10
    assert "mean 236.00" in text(page)
    assert "World 30" in text(page)


def test_a_run_that_failed_on_its_data_still_shows_the_data(site, runs):
    assert "Statistics" in text(site.get(f"/runs/{runs[7]}/data"))
    assert "model none" in text(site.get(f"/runs/{runs[7]}"))


def test_models_show_their_serving_state(site, ids, simulated):
    listed = rows(site.get("/models"))
    assert re.match(rf"{ids[-1]} .* {simulated.versions[-1]} in production$", listed[0])
    assert re.match(rf"{ids[-2]} .* {simulated.versions[-2]} not loaded$", listed[1])
    assert listed[-1].endswith("1700000000 deleted")


def test_a_model_card_is_shown_in_a_sandbox(site, ids):
    card = site.get(f"/models/{ids[0]}/card")
    assert f"Card of model {ids[0]}" in card.text
    assert "sandbox" in card.headers["content-security-policy"]
    assert "script-src" not in card.headers["content-security-policy"]


def test_two_models_are_compared(site, ids):
    page = site.get("/compare", params={"first": ids[0], "second": ids[-1]})
    shown = text(page)
    assert "all rows 120 0." in shown
    assert "rows read 1,250 1,251" in shown
    assert re.search(r"The models differ on \d+ of 120 test rows: \d+ broken, \d+ fixed", shown)
    assert re.search(r"(broken|fixed) 0\.\d{3} → 0\.\d{3} Title <\d+> What happened to", shown)
    fixed = site.get("/compare", params={"first": ids[0], "second": ids[-1], "outcome": "fixed"})
    assert {"fixed"} == set(re.findall(r'nowrap">(broken|fixed|both wrong)<', fixed.text))


def test_any_number_of_models_is_shown_with_settings_as_columns(site, ids):
    chosen = site.get("/models/settings", params={"model": [ids[0], ids[1], ids[-1]]})
    found = rows(chosen)
    assert [re.match(r"\d+", row)[0] for row in found] == [str(ids[number]) for number in (-1, 1, 0)]
    assert found[0].split()[-1] != found[-1].split()[-1]
    assert '<th role="columnheader" scope="col">epochs</th>' in chosen.text
    assert len(rows(site.get("/models/settings"))) == len(ids)
    assert "No model with a model card was selected" in text(site.get("/models/settings?q=no+such"))
    assert "expected NAME=VALUE" in text(site.get("/models/settings?setting=epochs"))
    assert "all settings are the same" in text(site.get(f"/models/settings?model={ids[0]}&setting=epochs"))


def test_without_two_model_ids_a_form_is_shown(site, ids):
    assert "First model" in text(site.get("/compare"))
    assert "First model" in text(site.get("/compare?first=x&second=1"))
    assert site.get(f"/compare?first={ids[0]}&second=999999").status_code == 404


def test_a_span_page_lists_the_models_trained_on_it(site, ids, simulated):
    shown = text(site.get("/spans/1"))
    assert "Which pushed models were trained on this span?" in shown
    assert f"{simulated.versions[-1]} in production model {ids[-1]}" in shown
    first = text(site.get("/spans/0"))
    assert f"1700000000 deleted model {ids[0]}" in first
    assert "Other models trained on this span" in first


def test_lineage_is_shown_in_both_directions(site, ids, snapshot, simulated):
    up = site.get(f"/lineage/{ids[0]}")
    assert 'class="box chosen"' in up.text
    assert "AgNewsExampleGen complete local-000000" in text(up)
    examples = snapshot.of_type("Examples")[0].id
    down = site.get(f"/lineage/{examples}?way=down")
    assert "which pushed models were trained on this span?" in text(down)
    assert "earlier runs are left out" in text(down)
    newest = site.get(f"/lineage/{snapshot.of_type('PushedModel')[-1].id}")
    assert f"{simulated.versions[-1]}, in production" in newest.text


def test_trends_have_charts_descriptions_and_a_table(site, ids):
    page = site.get("/trends")
    assert re.search(rf" {ids[-1]} [-\d: ]+ 0\.\d{{4}} 0\.\d{{4}} to 0\.\d{{4}} 0", text(page))
    assert page.text.count('class="whisker c0"') == page.text.count('class="dot c0"') / 3
    assert page.text.count("<svg") == 3
    assert page.text.count("<polyline") == 1 + 4 + 2
    assert f"Models {ids[0]} to {ids[-1]}: accuracy from 0." in page.text
    assert f"Model {ids[-1]} is in production." in page.text
    assert page.text.count('class="changed"') == 3
    # A band for each of the seven pushes, and the time in the table.
    assert len(re.findall('<rect class="(?:period.|changed)"', page.text)) == 3 * 7
    assert len(re.findall(r"[-\d]{10} [:\d]{5}", rows(page)[0])) == 2
    assert len(rows(page)) == len(ids)


def test_monitoring_reports_are_listed_and_shown_in_a_sandbox(site, simulated):
    version = simulated.versions[-1]
    newest, oldest = rows(site.get("/monitoring"))
    assert re.match(rf"2026-01-02 06:00 {version} in production \d+ (2026-01-02 05:00 ){{2}}60 0\.8500 1 alert", newest)
    assert "drift of predicted class from 2026-01-02 03:00 to 2026-01-02 05:00 UTC, in 3 windows" in newest
    assert oldest.endswith("no change")
    report = site.get(f"/monitoring/{version}/20260102T060000.000Z")
    assert f"Monitoring: agnews, version {version}" in report.text
    assert "sandbox" in report.headers["content-security-policy"]
    assert report.headers["x-content-type-options"] == "nosniff"


def test_a_version_with_labelled_items_shows_its_labelled_accuracy(site, ids):
    shown = "Labelled accuracy 85.00 % 40 logged items; 95 % interval 70.93 to 92.94"
    assert shown in text(site.get("/served"))
    assert shown in text(site.get(f"/models/{ids[-1]}"))
    assert "Labelled accuracy" not in text(site.get(f"/models/{ids[-2]}"))


def test_model_pages_show_the_latest_monitoring_report(site, ids, simulated):
    summary = "1 alert , report of 2026-01-02 06:00 UTC ; drift of predicted class from"
    assert f"Monitoring: {summary}" in text(site.get("/served"))
    assert f"monitoring {summary}" in text(site.get(f"/models/{ids[-1]}"))
    assert "no report of agnews monitor" in text(site.get(f"/models/{ids[-2]}"))


def test_an_unreadable_report_is_listed_as_such(tmp_path):
    place = tmp_path / "monitoring/agnews/3/20260102T060000.000Z"
    place.mkdir(parents=True)
    (place / "monitoring.json").write_text("{}")
    with serving(settings_of(tmp_path)) as client:
        assert "unreadable: deleted, or written by another release" in text(client.get("/monitoring"))
        assert client.get("/monitoring/3/20260102T060000.000Z").status_code == 404


NOT_FOUND = [
    "/monitoring/1/20260102T060000.000Z",
    "/monitoring/1700000011/%2e%2e",
    "/monitoring/1700000011/..%2f..%2f..%2fmetadata.sqlite",
    "/runs/9999",
    "/models/9999",
    "/models/9999/card",
    "/lineage/9999",
    "/spans/9",
    "/x",
    "/runs/1/data?split=x",
]


@pytest.mark.parametrize("address", NOT_FOUND)
def test_unknown_addresses_are_404(site, address):
    answer = site.get(address)
    assert answer.status_code == 404
    assert 'role="alert"' in answer.text


DIGITS = "9" * 5000
PLACES = (
    *(f"/{page}/{{}}" for page in ("models", "runs", "lineage", "spans", "monitoring")),
    "/models/{}/card",
    "/runs/{}/data",
    "/monitoring/{}/20260102T060000.000Z",
    "/monitoring/1/{}",
    "/compare?first={0}&second={0}",
    "/runs/1/data?split={}",
    "/models?page={0}&sort={0}&order={0}",
    "/approvals?status={}",
    "/runs?status={}",
    "/lineage/1?way={}",
    "/{}",
)


@hypothesis.settings(deadline=None, max_examples=100, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(
    st.sampled_from(PLACES), st.sampled_from(["9" * 18, DIGITS, "-1", "%00", "%ff", "a" * 300]) | st.text(max_size=20)
)
@hypothesis.example("/models/{}", DIGITS)
@hypothesis.example("/monitoring/1/{}", "%00")
def test_no_address_is_a_server_error(site, place, part):
    quoted = part if part.startswith("%") else quote(part, safe="", errors="replace")
    answer = site.get(place.format(quoted))
    assert answer.status_code < 500
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize("origin", ["http://[", "http://evil.example", "null"])
def test_forms_of_other_or_malformed_origins_are_rejected(site, origin):
    answer = site.post("/models/1/decision", headers={"Origin": origin})
    assert answer.status_code == 403
    assert "content-security-policy" in answer.headers


def test_markup_in_a_url_is_escaped(site, runs):
    answer = site.get(f"/runs/{runs[0]}/data", params={"split": "<script>alert(1)</script>"})
    assert "<script>" not in answer.text


def test_every_response_forbids_scripts_and_frames(site, ids):
    for address in ("/served", f"/models/{ids[0]}", "/nothing", "/style.css"):
        headers = site.get(address).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("[::1]:8090", 200), ("192.0.2.7", 200), ("evil.example", 421), ("", 421), ("[", 421)],
)
def test_only_host_names_of_this_machine_are_accepted(site, host, status):
    assert site.get("/spans", headers={"Host": host}).status_code == status


def test_deleted_files_are_reported(tmp_path):
    made = SimulatedStore(tmp_path, files=1, test_rows=8)
    made.add_runs(1)
    shutil.rmtree(tmp_path / "card-0")
    shutil.rmtree(tmp_path / "data-0")
    with serving(settings_of(tmp_path)) as client:
        [model] = [int(number) for number in re.findall(r'/models/(\d+)"', client.get("/models").text)]
        assert "evidence.json cannot be read; it may have been deleted" in text(client.get(f"/models/{model}"))
        assert client.get(f"/models/{model}/card").status_code == 404
        (tmp_path / "card-0").mkdir()
        (tmp_path / "card-0/evidence.json").write_text('{"data": ')
        assert "evidence.json is not JSON" in text(client.get(f"/models/{model}"))
        [run] = re.findall(r'/runs/(\d+)"', client.get("/runs").text)
        assert client.get(f"/runs/{run}/data").status_code == 404
        assert "No version has been pushed yet" in text(client.get("/served"))


def test_without_a_store_every_page_explains_what_to_do(tmp_path):
    with serving(settings_of(tmp_path)) as client:
        for address in ("/served", "/runs", "/models", "/spans"):
            assert "agnews run" in text(client.get(address))
        assert "No model is waiting for approval" in text(client.get("/approvals"))
        assert "No model has been evaluated yet" in text(client.get("/trends"))
        assert "There are no reports yet" in text(client.get("/monitoring"))


@pytest.fixture(scope="module")
def undecided(tmp_path_factory):
    """A client, the settings and a waiting model; no test records a decision on it."""
    settings, model = waiting_store(tmp_path_factory.mktemp("undecided"))
    with serving(settings) as client:
        yield client, settings, model


def decide(client, model, **changes):
    form = {"token": TOKEN, "by": "bob@here", "reason": "recall is <up>", "decision": "approve"} | changes
    return client.post(f"/models/{model}/decision", data=form)


def test_an_approval_is_recorded(decidable):
    settings, model = decidable
    with serving(settings) as client:
        assert re.search(rf"{model} [-\d: ]+ pending", text(client.get("/approvals")))
        answer = decide(client, model)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/models/{model}?decided=1")
        page = text(client.get(f"/models/{model}?decided=1"))
        assert re.search(
            r"^.{0,400}Recorded: approved by bob@here \(claimed\), .* UTC\. The model is approved: 1 of 1", page
        )
        assert "approved bob@here (claimed) recall is <up>" in page
        assert re.search(rf"{model} [-\d: ]+ approved", text(client.get("/approvals?status=approved")))
        assert "the log is unchanged" in page
    [line] = audit_log(settings).lines()
    assert (line.entry.action, line.entry.by, line.entry.why) == ("approve", "bob@here", "recall is <up>")


def test_the_address_of_a_refused_decision_can_be_reloaded(undecided):
    client, _, model = undecided
    refused = decide(client, model, token="wrong")
    assert 0 < refused.text.index("autofocus>The token is wrong") < refused.text.index('class="tiles"')
    answer = client.get(str(refused.url))
    assert (answer.status_code, answer.headers["location"]) == (303, f"/models/{model}#approval")


def test_a_served_model_that_was_rejected_after_its_push_is_an_alarm(tmp_path):
    made = SimulatedStore(tmp_path, files=1, test_rows=8, exports=True)
    made.add_runs(1)
    made.serve(tmp_path / "serving_model", 1)
    [(_, model)] = made.pushed
    with serving(settings_of(tmp_path)) as client:
        assert "Alarm" not in text(client.get("/served"))
        decide(client, model, by="cem@here", reason="finds no sports", decision="reject")
        alarm = f"Alarm: this model is live Model {model} was rejected after its push, and it is still live "
        alarm += "(cem@here (claimed): finds no sports). agnews versions rollback --reason …"
        for page in ("/served", f"/models/{model}"):
            assert alarm in text(client.get(page))


def test_one_decision_of_each_person_is_shown_and_older_ones_folded(decidable):
    settings, model = decidable
    with serving(settings) as client:
        decide(client, model, reason="first thought")
        decide(client, model, reason="second thought", decision="reject")
        page = client.get(f"/models/{model}").text
        current, _, older = page.partition("<details>")
        assert "second thought" in current
        assert "first thought" not in current
        assert "first thought" in older.partition("</details>")[0]
        assert "first thought" not in client.get("/approvals").text


def test_a_rejection_is_recorded(decidable):
    settings, model = decidable
    with serving(settings) as client:
        assert decide(client, model, decision="reject").status_code == 303
        assert "rejected bob@here" in text(client.get(f"/models/{model}"))


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"token": "wrong"}, 403, "The token is wrong; no decision was recorded."),
        ({"token": ""}, 403, "The token is wrong; no decision was recorded."),
        ({"by": "ann@laptop"}, 409, "ann@example.com trained it, so another person must approve it"),
        ({"by": "  "}, 409, "a decision needs a name and a reason"),
        ({"reason": " "}, 409, "a decision needs a name and a reason"),
        ({"decision": "maybe"}, 400, "decision must be approve or reject"),
        ({"reason": "x" * 30_000}, 413, "the form is too long"),
    ],
)
def test_a_rejected_decision_form_records_nothing(undecided, changes, status, message):
    client, settings, model = undecided
    answer = decide(client, model, **changes)
    assert answer.status_code == status
    assert message in text(answer)
    assert TOKEN not in answer.text
    assert re.search(rf"{model} [-\d: ]+ pending", text(client.get("/approvals")))
    assert not audit_log(settings).path.exists()


def test_changed_files_cannot_be_approved(decidable):
    settings, model = decidable
    [file] = (Path(settings.pipeline.root) / "agnews/model/8").rglob("saved_model.pb")
    file.write_bytes(b"another graph")
    with serving(settings) as client:
        answer = decide(client, model)
        assert answer.status_code == 409
        assert "changed after the request" in text(answer)


def test_a_card_changed_after_its_approval_is_reported(decidable):
    settings, model = decidable
    store = open_store(connection_config(settings))
    [uri] = [
        card.uri
        for card in store.get_artifacts_by_type("agnews.ModelCard")
        if card.custom_properties["model_id"].int_value == model
    ]
    card = Path(uri)
    card.mkdir(parents=True, exist_ok=True)
    (card / "model_card.html").write_text("recall 0.9")
    with serving(settings) as client:
        decide(client, model)
        assert "The model card changed" not in text(client.get(f"/models/{model}"))
        (card / "model_card.html").write_text("recall 1.0")
        shown = text(client.get(f"/models/{model}"))
    assert (
        "The model card changed: it differs from the card that bob@here (claimed) approved: differs: model_card.html."
        in shown
    )


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_a_form_from_another_site_is_rejected(site, ids, headers):
    assert site.post(f"/models/{ids[0]}/decision", data={"token": TOKEN}, headers=headers).status_code == 403


def test_a_site_without_a_token_is_read_only(settings, ids):
    with serving(settings, Tokens(None, {})) as client:
        page = client.get(f"/models/{ids[0]}")
        assert "<form" not in page.text
        assert f"agnews approvals approve {ids[0]}" in page.text
        assert decide(client, ids[0]).status_code == 403


def test_a_revision_links_to_the_commit_in_the_repository(simulated, settings, snapshot):
    review = settings.review.model_copy(update={"repository_url": "https://git.example.com/news/"})
    model = snapshot.of_type("Model")[-1].id
    with serving(settings.model_copy(update={"review": review})) as client:
        for page in (client.get("/served").text, client.get(f"/models/{model}").text):
            assert '<a href="https://git.example.com/news/commit/000000000000000000' in page


def test_a_personal_token_determines_the_approver(decidable):
    settings, model = decidable
    with serving(settings, Tokens(None, {"cem@here": "another token of many characters"})) as client:
        assert 'name="by"' not in client.get(f"/models/{model}").text
        assert decide(client, model, token="another token of many characters", by="bob").status_code == 303
        assert "approved cem@here" in text(client.get(f"/models/{model}"))


def test_a_log_in_of_a_proxy_determines_the_approver(decidable):
    settings, model = decidable
    login = ProxyLogin("X-User", TOKEN, Rights(approvers=frozenset({"cem@here"})))
    with serving(settings, Tokens(None, {}), login) as client:
        assert client.get("/served").status_code == 401
        client.headers.update({SECRET_HEADER: TOKEN, "X-User": "rita@here"})
        assert "rita@here may read this site, but not decide" in text(client.get(f"/models/{model}"))
        assert decide(client, model).status_code == 403
        assert not audit_log(settings).lines()
        client.headers["X-User"] = "cem@here"
        page = client.get(f"/models/{model}").text
        assert "You decide as cem@here" in page
        assert 'name="token"' not in page
        assert decide(client, model, by="bob@here").status_code == 303
        shown = text(client.get(f"/models/{model}"))
        assert "approved by cem@here" in shown
        assert "cem@here (claimed)" not in shown
    [line] = audit_log(settings).lines()
    assert (line.entry.by, line.entry.details["proof"]) == ("cem@here", "log-in")


def test_a_changed_audit_log_is_reported(decidable):
    settings, model = decidable
    with serving(settings) as client:
        decide(client, model)
        log = audit_log(settings).path
        log.write_text(log.read_text().replace("bob", "eve"))
        assert "The audit log was changed or cannot be read" in text(client.get(f"/models/{model}"))


@pytest.mark.parametrize("linked", [False, True])
def test_a_changed_audit_log_of_same_size_and_time_is_reported(decidable, linked):
    settings, model = decidable
    log = audit_log(settings).path
    if linked:
        log.parent.mkdir(exist_ok=True)
        log.symlink_to(log.with_name("kept.jsonl"))
    with serving(settings) as client:
        decide(client, model)
        decide(client, model, decision="reject")
        assert "the log is unchanged" in text(client.get(f"/models/{model}"))
        before = log.stat()
        log.write_text(log.read_text().replace("bob", "eve", 1))
        os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert "The audit log was changed or cannot be read" in text(client.get(f"/models/{model}"))


@pytest.mark.parametrize("reasons", [["recall of Sports is 0.5000, required is 0.6000: 0.1000 short"], None])
def test_the_page_of_a_refused_model_says_why(tmp_path, reasons):
    made = SimulatedStore(tmp_path, files=7, test_rows=8)
    made.add_runs(7)
    evidence = tmp_path / "card-6/evidence.json"
    document = json.loads(evidence.read_text())
    del document["verdicts"]["reasons"]  # Older cards have none.
    document["verdicts"] |= {"reasons": reasons} if reasons else {}
    evidence.write_text(json.dumps(document))
    model = StoreReader(made.connection).snapshot().of_type("Model")[-1]
    with serving(settings_of(tmp_path)) as client:
        said = text(client.get(f"/models/{model.id}"))
    assert "Evaluator: not blessed" in said
    assert f"Not blessed: {reasons[0] if reasons else 'its card does not say why; see the log of run'}" in said


def test_a_refusal_by_infra_validator_says_why_too():
    model = SimpleNamespace(blessed=True, servable=False, run=SimpleNamespace(name="local-1"))
    assert refusals_of_model(model, {"verdicts": {"infra_reason": "too large"}}) == [
        "InfraValidator refused it: too large."
    ]
    assert refusals_of_model(model, {}) == [
        "InfraValidator refused it: the verdict has no reason; see the log of run local-1."
    ]
