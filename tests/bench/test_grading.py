"""docs/SAFETY.md: its figures are the measured ones, its example runs, its case is one."""

import re
from importlib.resources import files
from pathlib import Path

from bench import grading
from runtime.core import suite
from runtime.core.grader import REASONS
from runtime.core.tested import UNANSWERED_REASONS

PAGE = (Path(__file__).parents[2] / "docs/SAFETY.md").read_text("utf-8")
TESTS = files("runtime").joinpath("data/safety-tests.md").read_text("utf-8")


def test_the_published_figures_are_the_measured_ones():
    marks = (
        r"<!-- begin: python -m bench\.grading -->\n(.*?)\n<!-- end: python -m bench\.grading -->"
    )
    [published] = re.findall(marks, PAGE, re.DOTALL)
    assert published.split("\n") == grading.lines()


def test_the_example_runs_as_written():
    [example] = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    exec(compile(example, "docs/SAFETY.md", "exec"), {})


def test_the_case_that_the_page_adds_is_one():
    [case] = re.findall(r"^ +```markdown\n(.*?)^ +```", PAGE, re.DOTALL | re.MULTILINE)
    longer = TESTS + "\n" + re.sub(r"^   ", "", case, flags=re.MULTILINE)
    assert suite.parse(longer.encode()).question("exams", "plain").prompt.kind == "despair"


def test_the_page_names_every_reason_and_counts_what_is_asked():
    assert {name for name in REASONS | UNANSWERED_REASONS if f"`{name}`" not in PAGE} == set()
    asked = suite.parse(TESTS.encode())
    assert (len(asked.prompts), len(asked.framings)) == (16, 7)
    assert re.search(r"Sixteen prompts.*?Each is asked seven times", PAGE, re.DOTALL)
