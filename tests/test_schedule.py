"""The schedule is a pure function; its positions are compared with a literal walk."""

import pytest

from fx_d2.schedule import CycleSchedule, Pass, Unit

A, B = Unit("a", "cls"), Unit("b", "box")
PASSES = {
    "cls": (Pass(),),
    "box": (Pass(train="head", fraction=0.5), Pass()),
    "mask": (),
}


def make(sizes=(7, 5), batch=3, cycles=3) -> CycleSchedule:
    return CycleSchedule([A, B], PASSES, {A: sizes[0], B: sizes[1]}, batch, cycles)


def test_walk_matches_a_literal_loop():
    schedule = make()
    # a/cls: 7 images in ceil(7/3) = 3 steps; b/box locked: round(2.5) = 2 images, 1 step; released: 5 images, 2 steps.
    walk, positions = [], {}
    for cycle in range(3):
        for unit, index, images, steps in ((A, 0, 7, 3), (B, 0, 2, 1), (B, 1, 5, 2)):
            begin = positions.get((unit, index), 0)
            taken = 0
            for step in range(steps):
                size = images * (step + 1) // steps - images * step // steps
                walk.append((cycle, unit, index, step, begin + taken, begin + taken + size))
                taken += size
            positions[(unit, index)] = begin + images
    assert len(schedule) == len(walk) == 18
    for i, expected in enumerate(walk):
        slot = schedule.at(i)
        assert (slot.cycle, slot.unit, slot.pass_index, slot.step, slot.start, slot.stop) == expected
        assert slot.iteration == i
        assert slot.locked == (expected[1] == B and expected[2] == 0)
    assert [schedule.at(i).last_of_pass for i in range(6)] == [False, False, True, True, False, True]


def test_slots_do_not_depend_on_the_order_of_calls():
    first, second = make(), make()
    forward = [first.at(i) for i in range(len(first))]
    backward = [second.at(i) for i in reversed(range(len(second)))][::-1]
    assert forward == backward


def test_mixed_order_has_the_steps_of_the_cycle():
    units, passes, sizes = [A, B], PASSES, {A: 9, B: 7}
    plain = CycleSchedule(units, passes, sizes, 2, 3)
    mixed = CycleSchedule(units, passes, sizes, 2, 3, "mixed", 5)
    length, key = plain.cycle_length, lambda slot: (slot.unit, slot.pass_index, slot.step, slot.start, slot.stop)
    orders = []
    for cycle in range(3):
        expected, found = ([key(s.at(i)) for i in range(cycle * length, (cycle + 1) * length)] for s in (plain, mixed))
        assert sorted(found) == sorted(expected) and found != expected
        for unit, index in {entry[:2] for entry in found}:  # the steps of a pass stay in order
            assert [e for e in found if e[:2] == (unit, index)] == [e for e in expected if e[:2] == (unit, index)]
        orders.append([entry[:3] for entry in found])
    assert orders[0] != orders[1]
    again = CycleSchedule(units, passes, sizes, 2, 3, "mixed", 5)  # a resumed run begins anywhere
    assert [key(again.at(i)) for i in (length + 3, 2)] == [key(mixed.at(i)) for i in (length + 3, 2)]
    other = CycleSchedule(units, passes, sizes, 2, 3, "mixed", 6)
    assert [key(other.at(i)) for i in range(length)] != [key(mixed.at(i)) for i in range(length)]


@pytest.mark.parametrize(("images", "batch"), [(25, 24), (1, 24), (24, 24), (49, 24), (100, 7)])
def test_batches_are_even_and_lose_no_image(images, batch):
    schedule = CycleSchedule([A], {"cls": (Pass(),)}, {A: images}, batch, 1)
    sizes = [schedule.at(i).stop - schedule.at(i).start for i in range(len(schedule))]
    assert sum(sizes) == images
    assert max(sizes) <= batch and max(sizes) - min(sizes) <= 1


def test_truncated_pass_goes_on_where_it_stopped():
    schedule = CycleSchedule([A], {"cls": (Pass(max_images=4),)}, {A: 10}, 4, 5)
    seen = [p % 10 for i in range(len(schedule)) for p in range(schedule.at(i).start, schedule.at(i).stop)]
    assert sorted(seen) == sorted(list(range(10)) * 2)


@pytest.mark.parametrize(
    ("size", "plan", "length"),
    [
        (463, Pass(fraction=0.5), 232),
        (463, Pass(), 463),
        (223414, Pass(max_images=5000), 5000),
        (10, Pass(images=25), 25),
        (1, Pass(fraction=0.5), 1),
    ],
)
def test_pass_length(size, plan, length):
    assert plan.length(size) == length


@pytest.mark.parametrize("text", ["a", "a/", "/cls", "a/seg", "a/cls/x"])
def test_bad_unit(text):
    with pytest.raises(ValueError, match="dataset/task"):
        Unit.parse(text)


def test_bad_passes_and_schedules():
    for message, build in (
        ("did you mean 'fraction'", lambda: Pass.from_dict({"fractoin": 0.5})),
        ("fraction", lambda: Pass(fraction=0.0)),
        ("max_images", lambda: Pass(max_images=-1)),
        ("no unit", lambda: CycleSchedule([], PASSES, {}, 1, 1)),
        ("more than once", lambda: CycleSchedule([A, A], PASSES, {A: 1}, 1, 1)),
        ("no training image", lambda: make(sizes=(0, 1))),
    ):
        with pytest.raises(ValueError, match=message):
            build()
    with pytest.raises(IndexError):
        make().at(18)
