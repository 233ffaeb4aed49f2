"""What every store by key must do, combinators included."""

# ruff: noqa: S101, PLR2004, PLC0415, D102 - these are tests, and their names say what they test

import threading
from typing import Any

import pytest

from ..keyed import KeyedStore
from .drawing import drawing

Keyed = KeyedStore[str, int]
ODD = ["", " ", "\\N", "\\", "a\tb", "a\\tb", "\n\r\0", "ü\U0001f600", "p1", "P1", "x" * 2000]


class KeyedStoreContract:
    """What a `KeyedStore` must do.

    Subclasses give the fixture ``keyed``: an empty store of integers under text that adds them.
    """

    examples = 25
    """Of histories drawn by Hypothesis; raise it for a thorough look."""

    shrink = False
    """Look for the shortest history that fails: takes minutes on a slow store."""

    def test_what_is_put_is_got_until_it_is_deleted(self, keyed: Keyed) -> None:
        assert keyed.get("p1") is None
        keyed.put("p1", 3)
        keyed.put("p2", 0)
        assert (keyed.get("p1"), keyed.get("p2"), keyed.get("p3")) == (3, 0, None)
        keyed.put("p1", -4)
        assert keyed.get("p1") == -4
        for _ in range(2):
            keyed.put("p1", None)
            assert keyed.get("p1") is None
        assert keyed.get("p2") == 0

    def test_a_merge_returns_the_value_before(self, keyed: Keyed) -> None:
        assert keyed.merge("p1", 2) is None
        assert keyed.merge("p1", 3) == 2
        assert keyed.merge("p1", -5) == 5
        assert keyed.get("p1") == 0
        keyed.put("p1", 10)
        assert keyed.merge("p1", 1) == 10
        keyed.put("p1", None)
        assert keyed.merge("p1", 1) is None
        assert keyed.get("p1") == 1

    def test_many_forms_are_the_one_forms(self, keyed: Keyed) -> None:
        keyed.multi_put({"a": 1, "b": 2, "c": None})
        assert keyed.multi_merge({"b": 10, "c": 20, "a": 0}) == {"b": 2, "c": None, "a": 1}
        assert keyed.multi_get(["c", "none", "a", "c"]) == {"c": 20, "none": None, "a": 1}
        assert keyed.multi_get(each for each in "ab") == {"a": 1, "b": 12}
        keyed.multi_put({"a": None, "b": 5, "none": None})
        assert keyed.multi_get("abc") == {"a": None, "b": 5, "c": 20}

    def test_nothing_is_nothing(self, keyed: Keyed) -> None:
        keyed.put("p1", 1)
        keyed.multi_put({})
        assert keyed.multi_get([]) == {}
        assert keyed.multi_merge({}) == {}
        assert keyed.multi_merge({}, once="t") == {}
        assert keyed.get("p1") == 1

    def test_a_token_merges_once(self, keyed: Keyed) -> None:
        assert keyed.merge("p1", 2) is None
        for _ in range(3):
            assert keyed.merge("p1", 3, once="t1") == 2
        assert keyed.merge("p1", 100, once="t1") == 2
        assert keyed.get("p1") == 5
        assert keyed.merge("p1", 3, once="t2") == 5
        assert keyed.merge("p2", 3, once="t1") is None
        assert keyed.merge("p2", 3, once="t1") is None
        assert keyed.multi_get(["p1", "p2"]) == {"p1": 8, "p2": 3}

    def test_a_token_is_known_for_each_key(self, keyed: Keyed) -> None:
        keyed.merge("a", 1, once="t")
        assert keyed.multi_merge({"a": 1, "b": 1, "c": 1}, once="t") == dict.fromkeys("abc")
        assert keyed.multi_merge({"c": 1, "d": 1}, once="t") == {"c": None, "d": None}
        assert keyed.multi_get("abcd") == dict.fromkeys("abcd", 1)

    def test_a_token_outlives_what_it_merged(self, keyed: Keyed) -> None:
        keyed.merge("p1", 2, once="t")
        keyed.put("p1", None)
        assert keyed.merge("p1", 2, once="t") is None
        assert keyed.get("p1") is None

    def test_tokens_are_no_values(self, keyed: Keyed) -> None:
        keyed.merge("p1", 2, once="t")
        assert keyed.multi_get(["p1\tt", "p1\\tt", "t"]) == {
            "p1\tt": None,
            "p1\\tt": None,
            "t": None,
        }
        assert keyed.merge("p1\tt", 7) is None
        assert keyed.merge("p1", 2, once="t") is None
        assert keyed.merge("p1", 2, once="\t\\N\n") == 2
        assert keyed.merge("p1", 2, once="\t\\N\n") == 2
        assert keyed.get("p1") == 4

    def test_young_tokens_are_not_forgotten(self, keyed: Keyed) -> None:
        keyed.merge("p1", 2, once="t")
        assert keyed.forget("1d") == 0
        assert keyed.merge("p1", 2, once="t") is None
        with pytest.raises(ValueError, match="duration"):
            keyed.forget("soon")

    def test_odd_keys_are_keys_of_their_own(self, keyed: Keyed) -> None:
        values = {key: number for number, key in enumerate(ODD)}
        keyed.multi_put(values)
        assert keyed.multi_get(ODD) == values
        assert keyed.multi_merge(dict.fromkeys(ODD, 1), once="t") == values
        assert keyed.multi_merge(dict.fromkeys(ODD, 1), once="t") == values
        assert [keyed.get(key) for key in ODD] == [number + 1 for number in values.values()]

    def test_what_does_not_fit_is_refused(self, keyed: Keyed) -> None:
        keyed.put("p1", 1)
        wrong: Any
        for wrong in ("1", 1.5, True, 2**64, b"1", object()):
            for attempt in (keyed.put, keyed.merge):
                with pytest.raises((TypeError, ValueError)):
                    attempt("p1", wrong)
            with pytest.raises((TypeError, ValueError)):
                keyed.multi_merge({"p1": wrong}, once="t")
        for wrong in (None, 1, b"p1"):
            for do in (keyed.get, lambda key: keyed.put(key, 1), lambda key: keyed.merge(key, 1)):
                with pytest.raises((TypeError, ValueError)):
                    do(wrong)
        wrong = None
        with pytest.raises(TypeError, match="None"):
            keyed.merge("p1", wrong)
        for wrong in ("", 5, b"t"):
            with pytest.raises((TypeError, ValueError), match="once"):
                keyed.merge("p1", 1, once=wrong)
        assert keyed.get("p1") == 1

    def test_a_total_that_does_not_fit_is_refused_and_names_its_key(self, keyed: Keyed) -> None:
        keyed.put("p1", 2**63 - 2)
        for _ in range(2):
            with pytest.raises(ArithmeticError, match="p1"):
                keyed.merge("p1", 3, once="t")
        assert keyed.get("p1") == 2**63 - 2
        assert keyed.merge("p1", -1, once="t") == 2**63 - 2

    def test_it_can_be_used_again_after_it_was_closed(self, keyed: Keyed) -> None:
        with keyed as store:
            store.put("p1", 1)
        assert keyed.merge("p1", 1, once="t") == 1
        for _ in range(2):
            keyed.close()
        assert keyed.merge("p1", 1, once="t") == 1
        assert keyed.get("p1") == 2

    def test_threads_lose_nothing(self, keyed: Keyed) -> None:
        failures: list[BaseException] = []

        def merge(thread: int) -> None:
            try:
                for number in range(6):
                    keyed.merge("all", 1)
                    keyed.multi_merge({"all": 1, f"own {thread}": 1}, once=f"{thread} {number}")
                    keyed.multi_merge({"once": 1}, once=str(number))
                    assert keyed.get(f"own {thread}") == number + 1
            except BaseException as failure:  # noqa: BLE001 - shown by the test
                failures.append(failure)

        threads = [threading.Thread(target=merge, args=(each,)) for each in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert keyed.multi_get(["all", "once", "own 3"]) == {"all": 48, "once": 6, "own 3": 6}

    def test_any_history_is_that_of_a_dictionary(self, keyed: Keyed) -> None:
        from hypothesis import given
        from hypothesis import strategies as st

        key, value = st.sampled_from(["a", "b", "\t", ""]), st.integers(-(2**40), 2**40)
        tokens = st.none() | st.sampled_from(["1", "2"])
        steps = (
            st.tuples(st.just("put"), key, st.none() | value)
            | st.tuples(st.just("merge"), key, value, tokens)
            | st.tuples(st.just("get"), key)
            | st.tuples(st.just("multi_put"), st.dictionaries(key, st.none() | value))
            | st.tuples(st.just("multi_merge"), st.dictionaries(key, value), tokens)
            | st.tuples(st.just("multi_get"), st.lists(key))
        )
        histories = 0

        @drawing(self.examples, shrink=self.shrink)
        @given(st.lists(steps, max_size=12))
        def same(history: list[Any]) -> None:
            nonlocal histories
            histories += 1
            model, prefix = _Model(), f"{histories} "
            for name, what, *rest in history:
                if isinstance(what, str):
                    found = getattr(keyed, name)(prefix + what, *rest)
                elif isinstance(what, list):
                    found = getattr(keyed, name)([prefix + each for each in what])
                else:
                    found = getattr(keyed, name)({prefix + k: v for k, v in what.items()}, *rest)
                if isinstance(found, dict):
                    found = {each.removeprefix(prefix): value for each, value in found.items()}
                assert found == getattr(model, name)(what, *rest)
            everything = keyed.multi_get(prefix + each for each in "ab\t")
            assert list(everything.values()) == [model.get(each) for each in "ab\t"]

        same()


class _Model(KeyedStore[str, int]):
    """A dictionary."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.answers: dict[tuple[str, str], int | None] = {}

    def multi_get(self, keys: Any) -> dict[str, int | None]:
        return {key: self.held.get(key) for key in keys}

    def multi_put(self, values: Any) -> None:
        for key, value in values.items():
            self.held.pop(key, None)
            if value is not None:
                self.held[key] = value

    def multi_merge(self, values: Any, once: str | None = None) -> dict[str, int | None]:
        before = {}
        for key, value in values.items():
            before[key] = self.held.get(key)
            if once is not None:
                if (key, once) in self.answers:
                    before[key] = self.answers[key, once]
                    continue
                self.answers[key, once] = before[key]
            self.held[key] = self.held.get(key, 0) + value
        return before

    def forget(self, older_than: Any) -> int:
        del older_than
        return 0

    def close(self) -> None:
        pass
