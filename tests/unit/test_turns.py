from __future__ import annotations

from threading import Event, Thread

from evaluator.build.turns import turn


def test_the_second_waits_and_is_told(tmp_path):
    lock, told, waiting, done = tmp_path / "turns" / "x.lock", [], Event(), []

    def say(line):
        told.append(line)
        waiting.set()

    def second():
        with turn(lock, say, "builds x"):
            done.append("second")

    with turn(lock, say, "builds x"):
        other = Thread(target=second)
        other.start()
        assert waiting.wait(10)
        done.append("first")
    other.join(10)
    assert (done, told) == (["first", "second"], ["waiting for another umd, which builds x"])
