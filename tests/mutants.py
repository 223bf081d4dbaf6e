"""Runs the tests over mutants of ledger/core, which mutmut writes: tests/mutate.sh starts it.

mutmut's own run collects all tests anew for each mutant, which takes longer than to fail one. Here
they are collected once, and each mutant is a fork of that process: it runs the tests that reach the
broken function, the quick ones first, up to the first failure. What Python runs while modules are
imported was run unbroken, so a mutant of it may survive that should not, and none dies that should
not. Before the mutants all tests pass in the order of their time, and fail if every function fails.

Writes mutants.json: of each mutant how it ended and by which test.
"""

import argparse
import fnmatch
import json
import os
import resource
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from mutmut.__main__ import copy_also_copy_files, copy_src_dir, create_mutants, setup_source_paths
from mutmut.configuration import config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import mangled_name_from_mutant_name

KILLED, SURVIVED, ENDLESS = "killed", "survived", "endless"
UNREACHED, UNCLEAR = "no tests", "unclear"
"""No test runs the function; or the fork itself failed, which tells nothing."""
TEST_SECONDS_MIN, TEST_FACTOR = 15, 20
"""A test that takes so many times its usual time, and more than TEST_SECONDS_MIN, does not end."""
MEMORY_BYTES_MAX = 6 << 30
"""A loop that only ever appends ends here."""
RESULTS = Path("mutants.json")
DONE, LATE = 0, 4
"""How a fork ends: it wrote its outcome, or the name of a test that did not end."""


def generate():
    """Write the mutants; return their names."""
    shutil.rmtree("mutants", ignore_errors=True)  # mutmut would leave older copies in it
    Path("mutants").mkdir()
    copy_src_dir()
    copy_also_copy_files()
    setup_source_paths()
    create_mutants(os.cpu_count() or 1)
    names = []
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        names += data.exit_code_by_key
    return names


class Fork:
    """What one forked process does: run items, stop at the first failure, say which it was."""

    def __init__(self, items, mutant, seconds):
        self.items, self.mutant, self.seconds = items, mutant, seconds
        self.failed = None
        self.times = {}

    def start(self, folder):
        folder.mkdir(parents=True)
        pid = os.fork()
        if pid:
            return pid
        code = 3
        try:
            self._quiet(folder)
            set_mutant_under_test(self.mutant)
            outcome = self.run()
            (folder / "outcome").write_text(json.dumps(outcome), encoding="utf-8")
            code = DONE
        except BaseException as error:  # whatever it is, this process ends here
            (folder / "error").write_text(repr(error), encoding="utf-8")
        finally:
            os._exit(code)

    def _quiet(self, folder):
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
        os.environ["PYTEST_DEBUG_TEMPROOT"] = os.environ["TMPDIR"] = str(folder)
        self.folder = folder

    def pytest_runtest_logreport(self, report):
        self.times[report.nodeid] = self.times.get(report.nodeid, 0) + report.duration
        if report.failed:
            self.failed = report.nodeid

    def run(self):
        reached, current = {}, [None]
        self.items[0].config.pluginmanager.register(self)

        def too_long(_signal, _frame):
            (self.folder / "endless").write_text(current[0].nodeid, encoding="utf-8")
            os._exit(LATE)

        signal.signal(signal.SIGALRM, too_long)
        for item, following in zip(self.items, [*self.items[1:], None], strict=True):
            current[0] = item
            if self.seconds:
                limit = max(TEST_SECONDS_MIN, TEST_FACTOR * self.seconds[item.nodeid])
                signal.setitimer(signal.ITIMER_REAL, limit)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            signal.setitimer(signal.ITIMER_REAL, 0)
            if self.mutant == "stats":
                for function in state()._stats:
                    reached.setdefault(function, []).append(item.nodeid)
                state()._stats.clear()
            if self.failed:
                break
        return {"failed": self.failed, "times": self.times, "reached": reached}


class Runner:
    """The pytest plugin: in place of running the tests, run them over each mutant."""

    def __init__(self, names, known, jobs, most):
        self.names, self.known, self.jobs, self.most = names, known, jobs, most
        self.folder = Path("forks").absolute()
        self.results = Path.cwd() / RESULTS
        self.failed = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.items = {item.nodeid: item for item in session.items}
        stats = self.alone(list(self.items.values()), "stats", {}, 3600)
        if stats["failed"]:
            return self.stop(f"fails without a mutant: {stats['failed']}")
        self.seconds, self.reached = stats["times"], stats["reached"]
        ordered = self.in_order(self.items)
        clean = self.alone(ordered, "", self.seconds, 3600)
        if clean["failed"]:
            return self.stop(f"fails when the quick ones run first: {clean['failed']}")
        if not self.alone(ordered, "fail", self.seconds, 600)["failed"]:
            return self.stop("nothing fails when every function does")
        self.mutants()
        return True

    def stop(self, why):
        print(why, file=sys.stderr)
        self.failed = True
        return True

    def in_order(self, nodeids):
        return [self.items[n] for n in sorted(nodeids, key=lambda n: (self.seconds.get(n, 0), n))]

    def within(self, items):
        """The first of them, which together take no longer than was asked for, and one at least."""
        total = 0
        for count, item in enumerate(items):
            total += self.seconds[item.nodeid]
            if count and total > self.most:
                return items[:count]
        return items

    def alone(self, items, mutant, seconds, limit):
        folder = self.folder / (mutant or "clean")
        fork = Fork(items, mutant, seconds)
        pid = fork.start(folder)
        signal.alarm(limit)
        os.waitpid(pid, 0)
        signal.alarm(0)
        if (folder / "error").exists():
            raise RuntimeError((folder / "error").read_text(encoding="utf-8"))
        if (folder / "endless").exists():
            raise RuntimeError("no end: " + (folder / "endless").read_text(encoding="utf-8"))
        return json.loads((folder / "outcome").read_text(encoding="utf-8"))

    def mutants(self):
        known = self.known
        running, count, begun = {}, 0, time.monotonic()
        for name in self.names:
            tests = self.reached.get(mangled_name_from_mutant_name(name), [])
            if not tests:
                known.setdefault(name, (UNREACHED, ""))
                continue
            while len(running) >= self.jobs:
                self.reap(running, known)
            folder = self.folder / f"{count}"
            items = self.within(self.in_order(tests))
            running[Fork(items, name, self.seconds).start(folder)] = (name, folder)
            count += 1
            if count % 20 == 0:
                print(
                    f"{count} of {len(self.names)} in {time.monotonic() - begun:.0f} s", flush=True
                )
                self.save(known)
        while running:
            self.reap(running, known)
        self.save(known)

    def save(self, known):
        self.results.write_text(json.dumps(known, indent=0, sort_keys=True), encoding="utf-8")

    def reap(self, running, known):
        pid, status = os.wait()
        name, folder = running.pop(pid)
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # what a test had started and could not stop
        code = os.waitstatus_to_exitcode(status)
        if code == DONE:
            failed = json.loads((folder / "outcome").read_text(encoding="utf-8"))["failed"]
            known[name] = (KILLED, failed) if failed else (SURVIVED, "")
        elif code == LATE:
            known[name] = (ENDLESS, (folder / "endless").read_text(encoding="utf-8"))
        elif code < 0:
            known[name] = (KILLED, f"the process ended by signal {-code}")
        else:
            known[name] = (UNCLEAR, (folder / "error").read_text(encoding="utf-8"))
        shutil.rmtree(folder, ignore_errors=True)


def report(results, names):
    modules = {}
    for name in names:
        outcome = results[name][0]
        counts = modules.setdefault(name.rsplit(".", 1)[0], {})
        counts[outcome] = counts.get(outcome, 0) + 1
    for module, counts in sorted(modules.items()):
        print(module, sum(counts.values()), counts)
    for name in names:
        if results[name][0] not in (KILLED, ENDLESS):
            print(results[name][0], name)


def main():
    parser = argparse.ArgumentParser(prog="tests/mutate.sh", description=__doc__)
    parser.add_argument("names", nargs="*", help="names of mutants, with wildcards")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--again", action="store_true", help="only those that survived before")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of tests for a mutant")
    parser.add_argument("--tests", nargs="+", help="in place of those that pyproject.toml names")
    arguments = parser.parse_args()
    wanted = arguments.names or ["*"]
    made = generate()
    names = list(dict.fromkeys(name for one in wanted for name in fnmatch.filter(made, one)))
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if arguments.again else {}
    if arguments.again:
        left = (SURVIVED, UNREACHED, UNCLEAR)
        names = [name for name in names if known.get(name, left)[0] in left]
    runner = Runner(names, known, arguments.jobs, arguments.seconds)
    os.chdir("mutants")
    os.environ["PY_IGNORE_IMPORTMISMATCH"] = "1"
    os.environ["MUTMUT_DEPENDENCY_DEPTH"] = "-1"  # a function is reached through others as well
    selection = arguments.tests or config().pytest_add_cli_args_test_selection
    selection = [*selection, *config().pytest_add_cli_args]
    pytest.main(["-q", "-s", "--rootdir=.", "--tb=native", *selection], plugins=[runner])
    if runner.failed or not runner.results.exists():
        return 1
    report(json.loads(runner.results.read_text(encoding="utf-8")), names)
    return 0


if __name__ == "__main__":
    sys.exit(main())
