"""Records as one HTML file that needs nothing else: a table per dataset and task, above the conditions."""

from collections.abc import Sequence

from jinja2 import Environment

from roibench.measure.record import Record
from roibench.registry import Registry
from roibench.report.comparison import Runs, comparison_grid, published_grid
from roibench.report.markdown import NOTES, better_lower_note, passes_note, software
from roibench.report.rows import failures, headings, tables

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>RoIBench</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 90rem; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent); padding: .25rem .6rem; }
th, td { text-align: right; white-space: nowrap; }
.text { text-align: left; }
caption { text-align: left; padding-bottom: .5rem; }
</style>
</head>
<body>
<h1>RoIBench</h1>
{% macro table(grid, caption) %}
<div class="wide"><table>
<caption>{{ caption }}</caption>
<thead><tr>{% for title in grid.titles %}
<th scope="col"{% if loop.index <= grid.left %} class="text"{% endif %}>{{ title }}</th>{% endfor %}
</tr></thead>
<tbody>{% for row in grid.rows %}
<tr>{% for cell in row %}<td{% if loop.index <= grid.left %} class="text"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody></table></div>
{% endmacro %}
{% for heading, grid, shared, notes in parts %}
<h2>{{ heading }}</h2>
{{ table(grid, shared) }}
{% for note in notes %}<p>{{ note }}</p>{% endfor %}
{% endfor %}
{% if published %}
<h2>Published</h2>
{{ table(published, "What papers published, beside what was measured here on other data") }}
{% endif %}
{% if failed %}
<h2>Failed</h2>
<ul>{% for one in failed %}<li>{{ one.cell_id }}: {{ one.text }}</li>{% endfor %}</ul>
{% endif %}
<p>{{ legend }}</p>
<p>Measured with {{ software }}.</p>
</body>
</html>
"""


def render(records: Sequence[Record], registry: Registry) -> str:
    told, found = Runs(records), tables(records)
    page = Environment(autoescape=True, trim_blocks=True, keep_trailing_newline=True).from_string(_PAGE)
    return page.render(
        parts=[
            (heading, comparison_grid(table, told), table.shared, [*table.notes, *told.notes(table)])
            for heading, table in zip(headings(found), found, strict=True)
        ],
        published=published_grid(found, registry),
        failed=failures(records),
        legend=" ".join([NOTES, *passes_note(found), *better_lower_note(found)]),
        software=software(records),
    )
