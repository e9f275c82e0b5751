"""Models kept warm: reuse, the budget, what goes first, one load at a time, waiting for room."""

import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from mixagent.pipeline.warm import Models


class Net:
    """Stands for a loaded network."""


class Shelf:
    """Models of a budget of 100 bytes, with the names of what was loaded in order."""

    def __init__(self, budget_bytes=100):
        self.models, self.loads = Models(budget_bytes), []

    def use(self, name, size_bytes=10, **more):
        def load():
            self.loads.append(name)
            return Net()

        return self.models.loaded(name, load, size_bytes, **more)

    def used(self, *names, size_bytes=10, **more):
        for name in names:
            with self.use(name, size_bytes, **more):
                pass


WAIT_S = 10


def test_a_model_that_is_kept_is_loaded_once():
    shelf = Shelf()
    with shelf.use("a") as first:
        pass
    with shelf.use("a") as second:
        assert second is first
    assert shelf.loads == ["a"]


def test_the_least_recently_used_goes_first():
    shelf = Shelf()
    shelf.used("a", "b", "c", size_bytes=30)
    shelf.used("a", size_bytes=30)
    shelf.used("d", size_bytes=30)
    assert shelf.models.names == ("c", "a", "d")


def test_what_a_run_takes_on_top_makes_room_while_it_runs():
    shelf = Shelf()
    shelf.used("a", "b", size_bytes=30)
    with shelf.use("c", 30, work_bytes=40):
        assert shelf.models.names == ("b", "c")
    assert shelf.models.names == ("b", "c")


def test_a_model_over_the_budget_runs_and_is_not_kept():
    shelf = Shelf()
    with shelf.use("a", 30), shelf.use("huge", 500) as net:
        assert shelf.models.names == ("a", "huge")
        gone = weakref.ref(net)
        del net
    assert shelf.models.names == ("a",)
    assert gone() is None


def test_a_model_that_is_not_to_be_kept_goes_with_its_last_user():
    shelf = Shelf()
    with shelf.use("a", keep=False):
        with shelf.use("a", keep=False):
            pass
        assert shelf.models.names == ("a",)
    assert shelf.models.names == ()


def test_a_budget_of_nothing_keeps_nothing():
    shelf = Shelf(0)
    shelf.used("a", "a")
    assert shelf.loads == ["a", "a"]


def test_a_smaller_budget_counts_from_the_next_use():
    shelf = Shelf()
    shelf.used("a", "b")
    shelf.models.budget_bytes = 10
    shelf.used("b")
    assert shelf.models.names == ("b",)


def test_release_gives_up_what_nobody_uses():
    shelf = Shelf()
    shelf.used("a")
    with shelf.use("b"):
        shelf.models.release()
        assert shelf.models.names == ("b",)


def test_a_load_that_fails_leaves_nothing_and_may_be_tried_again():
    shelf = Shelf()

    def fail():
        raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"), shelf.models.loaded("a", fail, 10):
        pass
    shelf.used("a")
    assert shelf.models.names == ("a",)


def test_threads_that_ask_for_one_model_share_one_load():
    shelf, together = Shelf(), threading.Barrier(4, timeout=WAIT_S)

    def work():
        together.wait()
        with shelf.use("a") as net:
            together.wait()
            return id(net)

    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(work) for _ in range(4)]
        assert len({future.result() for future in found}) == 1
    assert shelf.loads == ["a"]


def test_one_model_is_loaded_at_a_time():
    models, at_once, most = Models(1000), [], []
    together = threading.Barrier(4, timeout=WAIT_S)

    def load():
        at_once.append(1)
        most.append(len(at_once))
        threading.Event().wait(0.02)
        at_once.pop()
        return Net()

    def work(name):
        together.wait()
        with models.loaded(name, load, 10):
            together.wait()  # All four run side by side, once loaded.

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, "abcd"))
    assert most == [1, 1, 1, 1]


def test_what_does_not_fit_beside_those_in_use_waits_for_them():
    shelf, order, held, asked = Shelf(), [], threading.Event(), threading.Event()

    def first():
        with shelf.use("a", 20, work_bytes=50):
            held.set()
            asked.wait(WAIT_S)
            threading.Event().wait(0.05)
            order.append("a ends")

    def second():
        held.wait(WAIT_S)
        asked.set()
        with shelf.use("b", 20, work_bytes=50):
            order.append("b begins")

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(first), pool.submit(second)]:
            future.result()
    assert order == ["a ends", "b begins"]
    assert shelf.models.names == ("a", "b")


def test_a_second_run_of_one_model_waits_where_its_work_does_not_fit():
    shelf, running, most = Shelf(), [], []

    def work():
        with shelf.use("a", 20, work_bytes=50):
            running.append(1)
            most.append(len(running))
            threading.Event().wait(0.02)
            running.pop()

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(work) for _ in range(3)]:
            future.result()
    assert most == [1, 1, 1]


def test_a_thread_that_holds_a_model_does_not_wait_for_another():
    shelf = Shelf()
    with shelf.use("a", 60), shelf.use("b", 60):
        assert set(shelf.models.names) == {"a", "b"}
    assert shelf.models.names == ("a",)


def test_a_load_may_itself_work_with_a_model():
    shelf = Shelf()

    def load():
        with shelf.use("inner"):
            return Net()

    with shelf.models.loaded("outer", load, 10):
        pass
    assert set(shelf.models.names) == {"inner", "outer"}
