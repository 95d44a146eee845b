"""Rows of figures beside upstream's and the budget."""


class Table:
    def __init__(self):
        self.rows = []

    def add(self, name, value, upstream="", ratio="", budget="", verdict=""):
        self.rows.append((name, value, upstream, ratio, budget, verdict))
        print("  ".join(part for part in self.rows[-1] if part), flush=True)

    def seconds(self, name, value, upstream=None, budget=None):
        self._less(name, value, upstream, budget, lambda v: f"{v * 1000:.1f} ms" if v < 1 else f"{v:.2f} s")

    def number(self, name, value, unit, upstream=None, budget=None):
        self._less(name, value, upstream, budget, lambda v: f"{v:.3g} {unit}" if v < 1000 else f"{v:,.0f} {unit}")

    def _less(self, name, value, upstream, budget, text):
        """A figure that should be small."""
        ratio = f"{upstream / value:.1f} × better" if upstream and value else ""
        verdict = "" if budget is None else "ok" if value <= budget else f"{value / budget:.1f} × over"
        self.add(name, text(value), text(upstream) if upstream else "", ratio, "" if budget is None else "≤ " + text(budget), verdict)

    def rate(self, name, value, upstream, times=None):
        """Operations a second; the budget is a multiple of upstream's."""
        ratio = f"{value / upstream:.1f} ×" if upstream else ""
        verdict = "" if not (times and upstream) else "ok" if value >= times * upstream else f"{value / (times * upstream):.2f} of it"
        self.add(name, f"{value:,.0f} /s", f"{upstream:,.0f} /s" if upstream else "", ratio, f"≥ {times} ×" if times else "", verdict)

    def print(self, conditions):
        head = ("what", "Jangada", "upstream", "ratio", "budget", "verdict")
        widths = [max(len(row[column]) for row in [head, *self.rows]) for column in range(len(head))]
        line = lambda row: "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths)) + " |"
        print("\n" + conditions + "\n")
        print(line(head))
        print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
        for row in self.rows:
            print(line(row))
