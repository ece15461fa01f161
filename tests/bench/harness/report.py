"""The results for people: the table on stdout, and the one in docs/performance.md."""

from .rounds import DIRECT, REFERENCE

BEGIN = "<!-- bench: begin -->"
END = "<!-- bench: end -->"
OURS = "pgweir"


def number(value, digits=2):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.{digits}f}"


def percent(value):
    return "-" if value is None else f"{value * 100:.2f} %"


def aligned(rows):
    """Columns under each other; the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


# ---- on stdout ----

def table(results, titles):
    lines = []
    for result in results["workloads"].values():
        lines += ["", result["title"]]
        if result["generator"] == "idle":
            lines += aligned(_idle_rows(result, titles))
        elif result["overload"]:
            lines += aligned(_overload_rows(result, titles))
        elif result["generator"] == "bulk":
            lines += aligned(_bulk_rows(result, titles))
        else:
            lines += aligned(_rows(result, titles))
    return "\n".join(lines)


def _rows(result, titles):
    rows = [["", "tps", "/direct", "/PgBouncer", "p50 ms", "p95", "p99", "p99.9", "CPU us/tx", "/PgBouncer",
             "switches/tx", "calls/tx", "peak MB"]]
    for name, found in result["targets"].items():
        rows.append([titles[name], number(found["rate"]), number(found["rate_to_direct"]),
                     number(found["rate_to_pgbouncer"]), number(found["p50_ms"]), number(found["p95_ms"]),
                     number(found["p99_ms"]), number(found["p999_ms"]), number(found.get("cpu_us")),
                     number(found["cpu_to_pgbouncer"]), number(found.get("switches")), number(found.get("calls")),
                     number(found.get("peak_mb"), 1)])
    return rows


def _bulk_rows(result, titles):
    rows = [["", "MB/s", "/direct", "/PgBouncer", "CPU us/MB", "/PgBouncer", "switches/MB", "calls/MB", "peak MB"]]
    for name, found in result["targets"].items():
        rows.append([titles[name], number(found["rate"]), number(found["rate_to_direct"]),
                     number(found["rate_to_pgbouncer"]), number(found.get("cpu_us")), number(found["cpu_to_pgbouncer"]),
                     number(found.get("switches")), number(found.get("calls")), number(found.get("peak_mb"), 1)])
    return rows


def _overload_rows(result, titles):
    rows = [["", "tps", "of ideal", "errors", "mean ms", "p50", "p99", "CPU us/tx", "/PgBouncer", "peak MB", ""]]
    for name, found in result["targets"].items():
        title = "ideal: direct, as many clients as the pool has servers" if name == DIRECT else titles[name]
        rows.append([title, number(found["rate"]), percent(found["rate_to_direct"]), percent(found["errors"]),
                     number(found["mean_ms"]), number(found["p50_ms"]), number(found["p99_ms"]),
                     number(found.get("cpu_us")), number(found["cpu_to_pgbouncer"]), number(found.get("peak_mb"), 1),
                     codes(found)])
    return rows


def codes(found):
    """Which errors there were, in the last round."""
    return ", ".join(f"{code} {count}" for code, count in found["rounds"][-1].get("codes", {}).items())


def _idle_rows(result, titles):
    rows = [["", "clients", "RSS MB", "PSS MB", "bytes/client"]]
    for name, found in result["targets"].items():
        for step, memory in found["steps"].items():
            rows.append([titles[name], f"{int(step):,}", number(memory["rss_mb"], 1), number(memory["pss_mb"], 1),
                         number(memory.get("bytes_each"))])
    return rows


# ---- in the documentation ----

def markdown(results, picture):
    ours, theirs = OURS, REFERENCE
    where = f"{results['form']} form, {results['rounds']} rounds of {results['seconds']} s"
    lines = [f"Measured {results['date']} on {results['machine']}; {where}. pgweir {results['commit']}, "
             f"{results['versions'].get(theirs, 'no PgBouncer')}.", "",
             f"![CPU per transaction, pgweir to PgBouncer]({picture})", "",
             "| workload | PgBouncer CPU µs | pgweir CPU µs | ratio | aim | PgBouncer calls | pgweir calls | aim | "
             "tps to PgBouncer | tps to direct | p50 ms, theirs / ours | p99 ms, theirs / ours |",
             "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for result in results["workloads"].values():
        both = result["targets"].get(ours), result["targets"].get(theirs)
        if result["generator"] != "idle" and not result["overload"] and all(both):
            lines.append(_markdown_row(result, *both))
    lines += ["", *_markdown_overload(results), "", *_markdown_idle(results)]
    if results["skipped"]:
        lines += ["", "Not measured:", ""] + [f"- {line}" for line in results["skipped"]]
    return "\n".join(lines)


def _markdown_row(result, ours, theirs):
    goal = result["goal"]
    cells = [f"{result['title']}, per {result['unit']}" if result["unit"] == "MB" else result["title"],
             number(theirs.get("cpu_us")), number(ours.get("cpu_us")), number(ours["cpu_to_pgbouncer"]),
             number(goal.get("cpu")) if "cpu" in goal else "", number(theirs.get("calls")), number(ours.get("calls")),
             number(goal.get("calls")) if "calls" in goal else "", number(ours["rate_to_pgbouncer"]),
             number(ours["rate_to_direct"])]
    cells += [f"{number(theirs[key])} / {number(ours[key])}" if key in ours and key in theirs else "-"
              for key in ("p50_ms", "p99_ms")]
    return "| " + " | ".join(cells) + " |"


def _markdown_overload(results):
    lines = ["| overload | target | tps | of the pool's ideal | errors | mean ms | p99 ms |", "|---|---|---|---|---|---|---|"]
    for result in results["workloads"].values():
        if not result.get("overload"):
            continue
        for name, found in result["targets"].items():
            title = "direct, as many clients as the pool has servers" if name == DIRECT else results["titles"][name]
            lines.append(f"| {result['title']} | {title} | {number(found['rate'])} | {percent(found['rate_to_direct'])} | "
                         f"{percent(found['errors'])} | {number(found['mean_ms'])} | {number(found['p99_ms'])} |")
    return lines if len(lines) > 2 else []


def _markdown_idle(results):
    lines = ["| idle clients | target | RSS MB | bytes a client |", "|---|---|---|---|"]
    for result in results["workloads"].values():
        if result["generator"] != "idle":
            continue
        for name, found in result["targets"].items():
            for step, memory in found["steps"].items():
                lines.append(f"| {int(step):,} | {results['titles'][name]} | {number(memory['rss_mb'], 1)} | "
                             f"{number(memory.get('bytes_each'))} |")
    return lines if len(lines) > 2 else []


def put_into(path, text):
    """Between the two markers of a file, which must be there."""
    with open(path) as file:
        before, found, rest = file.read().partition(BEGIN)
    _old, found_end, after = rest.partition(END)
    if not found or not found_end:
        raise SystemExit(f"{path}: the lines {BEGIN} and {END} are not there")
    with open(path, "w") as file:
        file.write(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
