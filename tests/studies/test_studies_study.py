"""What every study has in common: it goes on where it was, takes no row of another, and its table is read back."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from companion.datasets import _studies as stored
from companion.datasets import load_study
from companion.datasets._studies import CARD, STORED, read_study, study_names
from companion.errors import InputError
from studies import _study
from studies._study import Study, main, run_study
from studies.filter_scores import filter_scores
from studies.hidden_coordinates import hidden_coordinates
from studies.learner_ceiling import learner_ceiling
from studies.real_regimes import real_regimes
from studies.reconstruction_limits import reconstruction_limits
from studies.surrogate_power import surrogate_power
from studies.target_ablation import target_ablation
from studies.walk_forward import walk_forward_study
from studies.walk_forward_levels import walk_forward_levels

STUDIES = {
    make().name: make
    for make in (
        filter_scores,
        hidden_coordinates,
        learner_ceiling,
        real_regimes,
        reconstruction_limits,
        surrogate_power,
        target_ablation,
        walk_forward_study,
        walk_forward_levels,
    )
}


def one_row(number):
    def run(work, report):
        report(f"run {number}", 0, 1)
        return [{"number": number, "third": number / 3, "name": "ä"}]

    return run


def thirds(tiny=False):
    return Study(
        name="thirds",
        title="Thirds",
        question="What is a third of a number?",
        how="By division.",
        cost="nothing",
        columns={"number": "what is divided", "third": "a third of it", "name": "a letter"},
        config={"numbers": [1, 2] if tiny else [1, 2, 3, 4]},
        runs={f"number {number}": one_row(number) for number in ([1, 2] if tiny else [1, 2, 3, 4])},
    )


@pytest.mark.parametrize("name", STUDIES)
def test_every_card_is_complete_and_is_the_one_of_the_code(name):
    study, table = STUDIES[name](), load_study(name)
    assert study.name == name
    assert table.attrs["card"] == study.card
    assert set(study.card) == set(CARD)
    assert all(study.card.values())
    assert all(study.columns.values())
    assert list(table.columns) == list(study.columns)
    assert study.command == f"python -m studies.{name} --store"


@pytest.mark.parametrize("name", STUDIES)
def test_the_stored_table_is_of_this_configuration(name):
    """A changed recipe, sample or row asks for a new run of the study, with --store."""
    assert load_study(name).attrs["provenance"]["config"] == STUDIES[name]().config


def test_every_stored_table_has_a_study():
    assert set(study_names()) == set(STUDIES)
    with pytest.raises(ValueError, match=f"name must be one of {', '.join(sorted(STUDIES))}, got 'tea_leaves'"):
        load_study("tea_leaves")


def test_the_tiny_form_is_another_configuration():
    for make in STUDIES.values():
        assert make(True).config != make().config
        assert make(True).card == make().card


def test_a_stopped_study_goes_on_with_the_runs_that_are_missing(tmp_path):
    whole, seen = run_study(thirds(), tmp_path / "whole"), []

    def stop(what, done, total):
        if what == "run 3":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(thirds(), tmp_path / "stopped", stop)
    again = run_study(thirds(), tmp_path / "stopped", lambda what, done, total: seen.append(what))
    assert seen == ["run 3", "run 4"]
    assert again == whole
    assert run_study(thirds(), tmp_path / "stopped", stop) == whole  # nothing is left to do
    assert [row["number"] for row in whole["rows"]] == [1, 2, 3, 4]
    assert whole["rows"][0]["third"] == 0.333333  # six digits


def test_a_run_that_was_damaged_is_done_anew(tmp_path):
    whole, seen = run_study(thirds(), tmp_path), []
    file = tmp_path / "runs" / "part-00001.json"
    for damage in (
        "{",
        '{"identity": 1, "run": "number 2", "rows": []}',
        (tmp_path / "runs" / "part-00002.json").read_text(),
    ):
        file.write_text(damage)
        assert run_study(thirds(), tmp_path, lambda what, done, total: seen.append(what)) == whole
    assert seen == ["run 2"] * 3


def test_runs_of_another_configuration_or_version_are_not_taken(tmp_path, monkeypatch):
    def stop(what, done, total):
        if what == "run 3":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(thirds(), tmp_path, stop)
    other = replace(thirds(), config={"numbers": [9]})
    with pytest.raises(InputError, match=r"runs\.partial: an unfinished study with other settings .* delete it"):
        run_study(other, tmp_path)
    plain = _study.provenance

    def newer(**how):
        made = plain(**how)
        return made | {"packages": made["packages"] | {"numpy": "99.0"}}

    monkeypatch.setattr(_study, "provenance", newer)
    with pytest.raises(InputError, match=r"packages numpy .*, not 99\.0\); delete it to start anew"):
        run_study(thirds(), tmp_path)


@pytest.mark.parametrize("name", ["letter.txt", "part-00000.json"])
def test_a_folder_of_something_else_is_not_touched(tmp_path, name):
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / name).write_text('{"mine": 1}')
    with pytest.raises(InputError, match=name):
        run_study(thirds(), tmp_path)
    assert [file.read_text() for file in folder.iterdir()] == ['{"mine": 1}']


def test_a_row_that_is_not_of_the_columns_is_a_defect(tmp_path):
    study = replace(thirds(), columns={"number": "what is divided"})
    with pytest.raises(ValueError, match=r"row must have the columns \['number'\], got \['number', 'third', 'name'\]"):
        run_study(study, tmp_path)


def test_the_command_stores_what_is_read_back(tmp_path, capsys):
    store = tmp_path / "thirds.json"
    argv = ["--tiny", "--work", str(tmp_path / "work"), "--store", str(store)]
    assert main(thirds, argv) == 0
    first = store.read_bytes()
    table = read_study(store)
    pd.testing.assert_frame_equal(
        table, pd.DataFrame({"number": [1, 2], "third": [0.333333, 0.666667], "name": ["ä", "ä"]})
    )
    assert table.attrs["card"] == thirds().card
    assert table.attrs["provenance"]["config"] == {"numbers": [1, 2]}
    said = capsys.readouterr()
    assert "Thirds" in said.out
    assert "0.6667" in said.out
    assert said.err == ""  # no progress bar where there is no terminal
    assert main(thirds, argv) == 0
    assert store.read_bytes() == first


def test_a_tiny_table_does_not_replace_the_one_in_the_package(tmp_path, capsys):
    before = {file: file.read_bytes() for file in STORED.iterdir()}
    with pytest.raises(SystemExit):
        main(target_ablation, ["--tiny", "--store", "--work", str(tmp_path)])
    assert "--tiny is not for the table in the package" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in STORED.iterdir()} == before


def test_bad_input_and_an_interrupt_are_one_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("a file")
    assert main(thirds, ["--work", str(tmp_path / "file")]) == 2

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_study, "run_study", interrupt)
    assert main(thirds, ["--work", str(tmp_path)]) == 130
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0].startswith("thirds: ")
    assert said[1].endswith(f"{tmp_path} keeps what is finished")


def refused(table, tmp_path, message):
    path = tmp_path / "table.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(InputError, match=f"table.json: .*{message}.*; make it with `python -m studies.table --store`"):
        read_study(path)


def put(table, kind, value):
    """Put a value in the place of the second row's first of a kind."""
    row = table["rows"][1]
    row[next(name for name, there in row.items() if type(there) is kind)] = value


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("card"), "must hold card, provenance and rows"),
        (lambda t: t.update(more=1), "must hold card, provenance and rows"),
        (lambda t: t["card"].pop("how"), "card must hold title"),
        (lambda t: t["card"].update(question=""), "card must hold title"),
        (lambda t: t["provenance"].pop("config"), "provenance must say the configuration"),
        (lambda t: t.update(rows=[]), "rows must be a list of at least one"),
        (lambda t: put(t, float, None), r"rows\[1\]: \w+ must be a float, got None"),
        (lambda t: put(t, float, "high"), r"rows\[1\]: \w+ must be a float, got 'high'"),
        (lambda t: put(t, float, float("nan")), r"rows\[1\]: \w+ must be a float, got nan"),
        (lambda t: put(t, int, True), r"rows\[1\]: \w+ must be a int, got True"),
        (lambda t: t["rows"][1].popitem(), r"rows\[1\] must have the columns"),
    ],
)
def test_a_damaged_table_is_refused_with_the_remedy(tmp_path, name, change, message):
    table = json.loads((STORED / f"{name}.json").read_text(encoding="utf-8"))
    change(table)
    refused(table, tmp_path, message)


def test_a_broken_file_is_refused(tmp_path, monkeypatch):
    for content in ([], None, 3, "text"):
        refused(content, tmp_path, "must hold card, provenance and rows")
    (tmp_path / "half.json").write_text('{"rows": [')
    monkeypatch.setattr(stored, "STORED", tmp_path)
    with pytest.raises(InputError, match=r"half\.json: content is not JSON .* or install the package anew"):
        load_study("half")
