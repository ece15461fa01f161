"""The picture for the documentation: a bar for each workload, pgweir's CPU as a ratio to PgBouncer's."""

from html import escape

from .report import OURS

WIDTH = 860
LEFT = 330
RIGHT = 60
ROW = 24
TOP = 64
STYLE = """
	text { font: 13px system-ui, sans-serif; fill: #24292f; }
	.title { font-weight: 600; font-size: 15px; }
	.small { font-size: 12px; fill: #57606a; }
	.bar { fill: #2f81c7; }
	.worse { fill: #c4622d; }
	.one { stroke: #57606a; stroke-width: 1; }
	.grid { stroke: #57606a; stroke-opacity: 0.25; }
	.aim { stroke: #1a7f37; stroke-width: 3; }
	@media (prefers-color-scheme: dark) {
		text { fill: #e6edf3; }
		.small { fill: #9da7b3; }
		.bar { fill: #58a6ff; }
		.worse { fill: #f0883e; }
		.one, .grid { stroke: #9da7b3; }
		.aim { stroke: #3fb950; }
	}
"""


def bars(results):
    """Title, ratio, aim of each workload that both have run."""
    found = []
    for result in results["workloads"].values():
        ours = result["targets"].get(OURS, {})
        if ours.get("cpu_to_pgbouncer") is not None:
            per = f", per {result['unit']}" if result["unit"] == "MB" else ""
            found.append((result["title"] + per, ours["cpu_to_pgbouncer"], result["goal"].get("cpu")))
    return found


def svg(results):
    """The picture, or None when there is nothing to compare."""
    rows = bars(results)
    if not rows:
        return None
    largest = max(1.1, *(ratio for _title, ratio, _aim in rows))
    height = TOP + ROW * len(rows) + 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
           'role="img" aria-label="CPU of pgweir as a ratio to PgBouncer">', f"<style>{STYLE}</style>",
           '<text class="title" x="10" y="24">CPU of pgweir for the same work, PgBouncer = 1</text>',
           '<text class="small" x="10" y="44">shorter is better; the green mark is the aim</text>']

    def x(ratio):
        return round(LEFT + ratio / largest * (WIDTH - LEFT - RIGHT), 1)
    bottom = TOP + ROW * len(rows)
    for step in range(0, int(largest * 4) + 1):
        kind = "one" if step == 4 else "grid"
        out.append(f'<line class="{kind}" x1="{x(step / 4)}" x2="{x(step / 4)}" y1="{TOP - 6}" y2="{bottom}"/>')
        out.append(f'<text class="small" x="{x(step / 4)}" y="{bottom + 18}" text-anchor="middle">{step / 4:g}</text>')
    for i, (title, ratio, aim) in enumerate(rows):
        out += _row(title, ratio, aim, TOP + ROW * i, x)
    return "\n".join(out + ["</svg>", ""])


def _row(title, ratio, aim, y, x):
    middle = y + ROW - 10
    kind = "bar" if ratio <= 1 else "bar worse"
    lines = [f'<text x="{LEFT - 10}" y="{middle}" text-anchor="end">{escape(title)}</text>',
             f'<rect class="{kind}" x="{LEFT}" y="{y + 2}" width="{round(x(ratio) - LEFT, 1)}" height="{ROW - 8}" rx="2"/>',
             f'<text x="{x(ratio) + 6}" y="{middle}">{ratio:.2f}</text>']
    if aim:
        lines.append(f'<line class="aim" x1="{x(aim)}" x2="{x(aim)}" y1="{y}" y2="{y + ROW - 4}"/>')
    return lines
