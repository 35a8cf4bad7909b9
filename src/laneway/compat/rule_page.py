"""The reference page of the source review's rules, made from the rules, their examples and what was measured."""

from laneway.compat.review import DEFAULT_OFF
from laneway.compat.review_examples import EXAMPLES
from laneway.compat.review_rules import RULES

__all__ = ["PRECISION", "rule_page"]

PRECISION: dict[str, tuple[int, int]] = {
    "FT201": (7, 10),
    "FT202": (20, 23),
    "FT203": (11, 12),
    "FT204": (18, 20),
    "FT205": (5, 9),
    "FT206": (3, 5),
    "FT207": (2, 5),
    "FT208": (11, 12),
    "PY101": (1, 1),
    "PY102": (4, 4),
    "PY103": (1, 1),
    "PY104": (11, 11),
    "PY105": (13, 13),
    "PY107": (1, 2),
    "PY108": (2, 2),
    "PY110": (0, 1),
    "PY111": (1, 1),
    "PY112": (1, 2),
    "PY113": (5, 5),
    "PY114": (2, 2),
    "PY115": (2, 2),
}
"""Findings judged by hand: right ones, and all that were looked at."""

_HEAD = """\
# Rules of the source review

`laneway compat` reviews a project's own Python files for what Python 3.14 and 3.15 removed or will remove (PY rules)
and for state that threads share without a lock (FT rules). It reads the code; it never imports it. Test code is left
out of the FT rules. `--source PATH` says what to review; of projects and packages it is found.

A comment silences a line, `# laneway: ignore[FT203]` or by name, `# laneway: ignore[global-counter]`;
`# laneway: ignore-file[FT203]` silences a file. `--rule FT201` adds a rule that is off by default.

## How often they are right

All FT findings in Django 6.1.3, SymPy 1.14, Twisted 26.10, ansible-core 2.21.5, Celery 5.7 and Salt 3008.5 (5,016
files) were judged by one reader, mostly from the finding and its line, without tracing every caller; of FT205,
FT206, FT208 and the PY rules also those in some 200 other distributions, of rules with more than 13 findings there
13 drawn at random. The samples are small: take the figures as rough. An FT finding is right if what it says is true
and nothing in the project keeps two threads from being there at once: no lock further up, no import lock, no rule
that one thread only calls it. A PY finding is right if the code fails, warns or changes its meaning on the version
named once it is reached.

Rules that are right less than four times in five are off by default; with fewer than five findings there is too
little to say, and a rule stays on. What was wrong in the sample and could be told apart by the code was corrected,
and does not count; the sample was not drawn anew afterwards: names that Twisted's test cases define themselves
(26), ways for old versions behind `and`, behind `if` expressions and behind imports that may fail (4), annotations
of local variables (1), a table that was nested too deeply (1). setuptools is not counted: its 122 uses of
`distutils` are of the one it brings.

| rule | right | of | | default |
|---|---|---|---|---|
"""


def rule_page() -> str:
    """The page as Markdown."""
    rows = [_row(rule) for rule in RULES]
    sections = [_section(rule) for rule in RULES]
    return _HEAD + "".join(rows) + "\n" + "\n".join(sections)


def _row(rule: str) -> str:
    right, seen = PRECISION.get(rule, (0, 0))
    share = f"{right / seen:.0%}" if seen >= 5 else "too few" if seen else "none found"
    counts = f"{right} | {seen}" if seen else "– | –"
    default = "off" if rule in DEFAULT_OFF else "on"
    return f"| [{rule}](#{rule.lower()}) {RULES[rule].name} | {counts} | {share} | {default} |\n"


def _section(rule: str) -> str:
    one = RULES[rule]
    before, after = EXAMPLES[rule]
    return (
        f"## {rule}\n\n**{one.name}** ({one.severity}{', off by default' if rule in DEFAULT_OFF else ''}). "
        f"{one.summary} {one.explanation}\n\nReported:\n\n```py\n{before.rstrip()}\n```\n\nPut right:\n\n"
        f"```py\n{after.rstrip()}\n```\n"
    )
