from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ignite.engine import Engine, Events
from torch.utils.data import DataLoader

from semimed_monai.data import TwoStreamBatches


def drawn(batches: TwoStreamBatches, epochs: int) -> list[list[int]]:
    """All batches of the first epochs."""
    found = []
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        found += list(batches)
    return found


def test_batch_is_twenty_labelled_and_ten_unlabelled_rows_interleaved_two_to_one():
    batches = TwoStreamBatches(60, 540)
    assert len(batches) == 20  # (60 + 540) / 30
    for batch in batches:
        assert [index < 60 for index in batch] == [True, True, False] * 10
        assert all(0 <= index < 600 for index in batch)


@settings(max_examples=50)
@given(
    labelled=st.integers(1, 17),
    unlabelled=st.integers(0, 17),
    rows=st.tuples(st.integers(1, 6), st.integers(0, 6)),
    steps=st.integers(1, 9),
    seed=st.integers(0, 5),
)
def test_every_row_of_a_stream_comes_once_before_any_comes_twice(labelled, unlabelled, rows, steps, seed):
    batches = TwoStreamBatches(
        labelled, unlabelled, labelled_rows=rows[0], unlabelled_rows=rows[1], steps=steps, seed=seed
    )
    indices = [index for batch in drawn(batches, 3) for index in batch]
    kinds = {
        "labelled": (range(labelled), [i for i in indices if i < labelled], rows[0]),
        "unlabelled": (range(labelled, labelled + unlabelled), [i for i in indices if i >= labelled], rows[1]),
    }
    for items, stream, per_batch in kinds.values():
        assert len(stream) == (3 * steps * per_batch if items else 0)
        for start in range(0, len(stream) - len(items) + 1, max(len(items), 1)):
            assert sorted(stream[start : start + len(items)]) == list(items)


@settings(max_examples=40)
@given(
    world=st.integers(1, 5),
    per_rank=st.tuples(st.integers(1, 4), st.integers(0, 3)),
    epoch=st.integers(0, 4),
    balanced=st.booleans(),
)
def test_ranks_together_are_the_single_process(world, per_rank, epoch, balanced):
    settings_ = {
        "labelled": 13,
        "unlabelled": 29,
        "labelled_rows": per_rank[0] * world,
        "unlabelled_rows": per_rank[1] * world,
        "labels": [n % 3 for n in range(13)] if balanced else None,
    }
    ranks = [TwoStreamBatches(**settings_, rank=rank, world_size=world) for rank in range(world)]
    whole = TwoStreamBatches(**settings_, rank=0, world_size=1)
    for sampler in (whole, *ranks):
        sampler.set_epoch(epoch)
    for batch, *parts in zip(whole, *ranks, strict=True):
        assert [index for part in parts for index in part] == batch
        assert {sum(index < 13 for index in part) for part in parts} == {per_rank[0]}


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers):
    batches = TwoStreamBatches(5, 9, labelled_rows=4, unlabelled_rows=2, steps=6)
    loaded = DataLoader(range(14), batch_sampler=batches, num_workers=workers)
    assert [batch.tolist() for batch in loaded] == list(batches)


def test_epochs_go_on_where_the_one_before_ended_and_need_no_history():
    short, long = (TwoStreamBatches(7, 5, labelled_rows=3, unlabelled_rows=2, steps=steps) for steps in (4, 12))
    assert drawn(short, 3) == list(long)
    resumed = TwoStreamBatches(7, 5, labelled_rows=3, unlabelled_rows=2, steps=4)
    resumed.set_epoch(2)
    assert list(resumed) == list(long)[8:]
    assert list(resumed) == list(long)[8:]  # iterating leaves no trace


def test_engine_that_sets_the_epoch_when_it_starts_sees_the_whole_run():
    batches = TwoStreamBatches(7, 5, labelled_rows=3, unlabelled_rows=2, steps=4)
    seen = []
    engine = Engine(lambda _, batch: seen.append(batch.tolist()))
    engine.add_event_handler(Events.EPOCH_STARTED, lambda e: batches.set_epoch(e.state.epoch - 1))
    engine.run(DataLoader(range(12), batch_sampler=batches), max_epochs=3)
    assert seen == drawn(batches, 3)


def test_each_round_through_a_stream_has_an_order_of_its_own():
    indices = [index for batch in TwoStreamBatches(9, 0, labelled_rows=9, steps=20) for index in batch]
    assert len({tuple(indices[start : start + 9]) for start in range(0, 180, 9)}) == 20


def test_seed_decides_the_order():
    orders = [list(TwoStreamBatches(50, 50, seed=seed)) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_labels_balance_the_labelled_rows():
    labels = [0] * 90 + [1] * 8 + [2] * 2
    batches = TwoStreamBatches(100, 50, labelled_rows=9, unlabelled_rows=3, labels=labels)
    for batch in islice(batches, 5):
        assert Counter(labels[index] for index in batch if index < 100) == {0: 3, 1: 3, 2: 3}


def test_balanced_rows_go_round_evenly_where_classes_do_not_divide_the_batch():
    labels = [0] * 30 + [1] * 5 + [2] * 7
    batches = TwoStreamBatches(42, 0, labelled_rows=4, steps=5, labels=labels)
    indices = [index for batch in drawn(batches, 3) for index in batch]
    assert [labels[index] for index in indices] == [0, 1, 2] * 20
    rare = [index for index in indices if labels[index] == 1]
    assert all(sorted(rare[start : start + 5]) == list(range(30, 35)) for start in range(0, 20, 5))


@pytest.mark.parametrize(("unlabelled", "unlabelled_rows", "length"), [(0, 10, 5), (300, 0, 20)])
def test_supervised_batches_have_labelled_rows_only(unlabelled, unlabelled_rows, length):
    batches = TwoStreamBatches(100, unlabelled, unlabelled_rows=unlabelled_rows)
    assert len(batches) == length  # 100 / 20 and (100 + 300) / 20
    assert all(len(batch) == 20 and max(batch) < 100 for batch in batches)


def test_default_process_is_the_only_one():
    batches = TwoStreamBatches(40, 40)
    assert (batches.rank, batches.world_size) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"world_size": 3, "rank": 0}, r"3 processes .* start 1, 2, 5, 10 of them"),
        ({"world_size": 2, "rank": 2}, "rank 2 is not one of the 2"),
        ({"labelled": 0}, "0 labelled items"),
        ({"labelled_rows": 0}, "0 labelled rows"),
        ({"unlabelled_rows": -1}, "unlabelled_rows=-1"),
        ({"steps": 0}, "steps=0"),
        ({"labels": [0, 1]}, "give one class for each"),
        ({"labels": [[0, 1]] * 40}, "give one class for each"),
    ],
)
def test_bad_arguments_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        TwoStreamBatches(**{"labelled": 40, "unlabelled": 40, **arguments})
