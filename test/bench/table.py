"""The table that `make bench` prints, in Markdown."""

import statistics

HEAD = ["scenario", "unit", "ours", "peer", "floor", "peer ÷ ours", "goal", "reached", "ours ÷ floor",
        "ours user + system", "peak MB, ours / peer", "generator ÷ ours"]


def digits(value):
    """Three digits that mean something, and no "-0.000" from the difference of two counts."""
    value = 0.0 if abs(value) < 0.0005 else value
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def cell(values):
    """The median, and the smallest and the largest."""
    if not values:
        return "–"
    return f"{digits(statistics.median(values))} ({digits(min(values))}–{digits(max(values))})"


def line(cells):
    return "| " + " | ".join(cells) + " |"


def ratio(over, under):
    return f"{over / under:.2f}" if over is not None and under is not None and under > 0 else "–"


def median_of(answers, read):
    return statistics.median(read(answer) for answer in answers)


def user_and_system(figure, answers):
    if figure.cost is None:
        return "–"
    return " + ".join(digits(median_of(answers, lambda answer, key=key: figure.cost(answer)["broker"][key]))
                      for key in ("user_us", "system_us"))


def generator_share(figure, answers):
    if figure.cost is None:
        return "–"
    return ratio(*(median_of(answers, lambda answer, who=who: figure.cost(answer)[who]["cpu_us"])
                   for who in ("generator", "broker")))


def peaks(found):
    return " / ".join(f"{median_of(found[who], lambda answer: answer['peak_bytes']) / 1e6:.1f}"
                      for who in ("ours", "peer") if found.get(who))


def reached(goal, median):
    if goal is None:
        return "–"
    return {True: "yes", False: "**no**", None: "–"}[goal.reached(median)]


def row(figure, found):
    """The cells of one figure. `found`: for each broker that was measured, the generator's answers."""
    values = {who: [figure.read(answer) for answer in answers] for who, answers in found.items()}
    median = {who: statistics.median(some) for who, some in values.items() if some}
    ours, peer, floor = (median.get(who) for who in ("ours", "peer", "floor"))
    return [
        figure.name, figure.unit, *(cell(values.get(who)) for who in ("ours", "peer", "floor")),
        ratio(peer, ours), figure.goal.text() if figure.goal else "–", reached(figure.goal, median),
        ratio(ours, floor),
        user_and_system(figure, found["ours"]), peaks(found), generator_share(figure, found["ours"]),
    ]
