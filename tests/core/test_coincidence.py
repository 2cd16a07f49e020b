"""What happened just when something began."""

from __future__ import annotations

from traintop.detectors.coincidence import Happenings, ago


def test_a_resume_shortly_before_comes_before_a_regular_evaluation() -> None:
    happened = Happenings()
    for step in (100, 200, 300):
        happened.add("evaluation", step, "an evaluation")
    happened.add("regime", 295, "resumed")
    causes = happened.near(301, stride=1.0)
    assert [each.because for each in causes] == [
        "resumed at step 295, 6 steps before the onset",
        "an evaluation at step 300, 1 step before the onset",
    ]
    assert happened.near(350, stride=1.0) == ()


def test_what_happens_all_the_time_is_near_everything_and_says_nothing() -> None:
    happened = Happenings()
    for step in range(0, 100, 5):
        happened.add("evaluation", step, "an evaluation")
    assert happened.near(96, stride=1.0) == ()


def test_distances_follow_the_cadence_of_the_log() -> None:
    happened = Happenings()
    happened.add("regime", 1000, "resumed")
    assert happened.near(1900, stride=50.0)
    assert not happened.near(1900, stride=1.0)


def test_ago() -> None:
    assert ago(0) == "the very step of the onset"
    assert ago(1) == "1 step before the onset"
    assert ago(-2) == "2 steps after the onset"
