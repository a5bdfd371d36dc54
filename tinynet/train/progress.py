"""What reports the progress of a run: a bar, lines, or nothing."""

import sys
from contextlib import contextmanager


@contextmanager
def progress(wanted, unit, total, steps, done):
    """unit "epoch" or "step", of which the run has `total`; `steps` of the optimiser in all, `done` of them already."""
    if not wanted:
        yield Silent()
    elif sys.stderr.isatty() and (bar := _bar(steps, done)):
        with bar:
            yield Bar(bar, unit, total)
    else:
        yield Lines(unit, total)


def _bar(total, done):
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, initial=done, unit="step", file=sys.stderr)


class Silent:
    def step(self, loss):
        pass

    def row(self, row):
        pass

    def say(self, sentence):
        pass


class Lines(Silent):
    """About twenty lines a run, so that a log stays readable."""

    def __init__(self, unit, total):
        self.unit, self.total, self.told = unit, total, 0

    def row(self, row):
        done = row[self.unit]
        if done * 20 // max(self.total, 20) > self.told or done == self.total or self.total <= 20:
            self.told = done * 20 // max(self.total, 20)
            self.say(f"{self.unit} {done}/{self.total}  {_numbers(row, self.unit)}")

    def say(self, sentence):
        print(sentence, file=sys.stderr, flush=True)


class Bar(Silent):
    def __init__(self, bar, unit, total):
        self.bar, self.unit, self.total, self.last = bar, unit, total, ""

    def step(self, loss):
        self.bar.update()
        self.bar.set_postfix_str(self.last or f"loss {loss:.4g}", refresh=False)

    def row(self, row):
        self.last = f"{self.unit} {row[self.unit]}/{self.total}  {_numbers(row, self.unit)}"

    def say(self, sentence):
        self.bar.write(sentence, file=sys.stderr)


def _numbers(row, unit):
    return "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name != unit)
