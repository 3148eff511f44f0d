"""Each signal by itself, sent to this process; the whole command is in test_processes."""

import signal

import pytest

from fx_d2.engine.preemption import EXIT_PREEMPTED, SIGNALS, Preempted, StopRequest


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_for_the_step(number):
    stop = StopRequest()
    with stop.listening(), stop.defer():
        signal.raise_signal(number)
        assert stop.received == number.name  # and the step goes on
        with pytest.raises(Preempted, match=number.name), stop.immediate():  # an evaluation begins
            raise AssertionError("obeyed before it")
        with pytest.raises(Preempted):
            stop.check()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_outside_of_a_step_ends_the_process(number):
    stop = StopRequest()
    with pytest.raises(SystemExit) as ended, stop.listening():
        signal.raise_signal(number)
    assert ended.value.code == EXIT_PREEMPTED == 75


def test_the_second_interrupt_does_not_wait():
    stop = StopRequest()
    with stop.listening(), stop.defer():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_scheduler_that_asks_twice_still_waits_for_the_step():
    stop = StopRequest()
    with stop.listening(), stop.defer():
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM):
            signal.raise_signal(number)
        assert stop.received == "SIGUSR1"  # the first says why


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in SIGNALS]
    with StopRequest().listening():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert [signal.getsignal(number) for number in SIGNALS] == before
