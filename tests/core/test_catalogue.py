"""What the series of a run are called, and which one has which role."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from traintop.catalogue import Catalogue
from traintop.records import Column, Rows
from traintop.store import Store


def store_of(**tables):
    store = Store()
    for table, names in tables.items():
        add(store, table, names)
    return store


def add(store, table, names, step=0.0):
    store.add(
        Rows(
            table=table,
            step=np.array([step]),
            epoch=np.array([np.nan]),
            time=np.array([np.nan]),
            columns={name: Column(values=np.array([1.0])) for name in names},
        )
    )


def named(catalogue, run):
    return {ref.label: (ref.table, ref.name, ref.role) for ref in catalogue.refs(run)}


def test_the_labels_of_training_are_plain_and_others_name_their_table():
    run = store_of(train=["loss", "learning_rate", "mine"], val=["loss", "f1"]).run(0)
    assert named(Catalogue(), run) == {
        "loss": ("train", "loss", "loss/train"),
        "learning_rate": ("train", "learning_rate", "lr"),
        "mine": ("train", "mine", None),
        "val/loss": ("val", "loss", "loss/val"),
        "val/f1": ("val", "f1", None),
    }


def test_the_file_that_all_tables_are_of_is_not_named():
    tables = {"job-7/train": ["loss"], "job-7/rank00001/train": ["loss"], "job-7/val": ["loss"]}
    assert named(Catalogue(), store_of(**tables).run(0)) == {
        "loss": ("job-7/train", "loss", "loss/train"),
        "rank00001/train/loss": ("job-7/rank00001/train", "loss", None),
        "val/loss": ("job-7/val", "loss", "loss/val"),
    }


def test_a_table_alone_needs_no_name():
    run = store_of(val=["loss"]).run(0)
    assert list(named(Catalogue(), run)) == ["loss"]


def test_series_are_found_by_role_and_by_table():
    run = store_of(train=["loss", "mine"], val=["loss"]).run(0)
    catalogue = Catalogue()
    assert catalogue.by_role(run, "loss/val").label == "val/loss"
    assert catalogue.by_role(run, "lr") is None
    assert catalogue.roles_of(run, "train") == {"loss": "loss/train"}
    assert catalogue.roles_of(run, "val") == {"loss": "loss/val"}
    assert catalogue.roles_of(run, "gone") == {}


def test_the_answer_is_remembered_until_there_is_another_series():
    store = store_of(train=["loss"])
    catalogue = Catalogue()
    first = catalogue.refs(store.run(0))
    add(store, "train", ["loss"], 1.0)
    assert catalogue.refs(store.run(0)) is first
    add(store, "train", ["loss", "grad_norm"], 2.0)
    assert [ref.role for ref in catalogue.refs(store.run(0))] == ["loss/train", "grad_norm"]


def test_a_role_that_is_given_counts_more_than_a_name():
    run = store_of(train=["loss", "my col", "lr"], val=["loss"]).run(0)
    catalogue = Catalogue({"my col": "loss/val", "lr": "none"})
    assert catalogue.by_role(run, "loss/val").label == "my col"
    assert catalogue.by_role(run, "loss/train").label == "loss"
    assert catalogue.by_role(run, "lr") is None
    origins = {ref.label: ref.role_from for ref in catalogue.refs(run)}
    assert origins == {"loss": "name", "my col": "settings", "lr": "settings", "val/loss": None}

    catalogue.give({"val/loss": "loss/val"})
    assert catalogue.by_role(run, "loss/val").label == "val/loss"
    assert [ref.role_from for ref in catalogue.refs(run)] == ["name", None, "settings", "you"]

    catalogue.give({})
    assert catalogue.by_role(run, "loss/val").label == "my col"


def test_names_in_the_settings_that_no_series_has_are_known():
    run = store_of(train=["loss"]).run(0)
    assert Catalogue({"los": "loss/val", "loss": "none"}).unused(run) == ["los"]


def test_a_unit_behind_the_values_is_that_of_the_series():
    run = store_of(train=["step_avg", "speed", "memory"]).run(0)
    catalogue = Catalogue()
    assert [ref.unit for ref in catalogue.refs(run)] == [None, None, None]
    catalogue.learn_units({"step_avg": "ms", "speed": "it/s", "memory": "MB", "other": "%"})
    assert [ref.unit for ref in catalogue.refs(run)] == ["ms", "steps/s", "MiB"]
    assert [ref.unit for ref in catalogue.copy().refs(run)] == ["ms", "steps/s", "MiB"]


NAMES = st.sets(st.sampled_from(["loss", "val_loss", "lr", "accuracy", "a", "b"]), min_size=1)


@given(
    st.dictionaries(st.sampled_from(["train", "val", "test", "rank00001/train"]), NAMES, min_size=1)
)
def test_no_two_series_share_a_label_and_no_two_a_role(tables):
    run = store_of(**tables).run(0)
    refs = Catalogue().refs(run)
    assert len(refs) == sum(map(len, tables.values()))
    assert len({ref.label for ref in refs}) == len(refs)
    roles = [ref.role for ref in refs if ref.role is not None]
    assert len(set(roles)) == len(roles)
