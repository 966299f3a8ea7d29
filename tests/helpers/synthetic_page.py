"""A page laid out as the paper's is described, around any lists."""

from __future__ import annotations

import html
import random
import re


def page_of(
    emotions: list[str],
    topics: list[str],
    activities: list[tuple[str, str]],
    scenarios: list[tuple[str, str, str]],
    prompts: dict[str, str],
    *,
    later: tuple[str, ...] = (),
    mess: bool = False,
) -> str:
    """A page as PROVENANCE.md describes the paper's, `later` texts in its appendix; with `mess`,
    the same as a browser might save it."""

    def text(raw: str) -> str:
        escaped = html.escape(raw, quote=False)
        if mess:
            escaped = (
                escaped.replace("'", "\u2019")
                .replace(' "', " \u201c")
                .replace('"', "\u201d")
                .replace(", ", ",\u00a0")
                .replace("; ", ";\n   ")
            )
        return escaped

    def table(head: list[str], rows: list[list[str]]) -> str:
        cells = "".join(
            "<tr>"
            + "".join(
                f"<td><p>{text(cell)}</p></td>" if mess else f"<td>{text(cell)}</td>"
                for cell in row
            )
            + "</tr>"
            for row in rows
        )
        return f"<table><tr>{''.join(f'<th>{h}</th>' for h in head)}</tr>{cells}</table>"

    def prompt(raw: str) -> str:
        lost = re.sub(r"<[^<>]*>", "", raw) if mess else raw
        parts = [text(line) for line in lost.split("\n")]
        return (
            "".join(f"<p>{p}</p>" for p in parts) if mess else "<pre>" + "\n".join(parts) + "</pre>"
        )

    rows = [[category, activity, "1500", "0.01", "-0.01"] for category, activity in activities]
    if mess:
        random.Random(0).shuffle(rows)
    lens = table(["Emotion", "Up", "Down"], [["Happy", "a, b", "c, d"]])
    told = [[a, b.title() if mess else b, f'"{c}"' if mess else c] for a, b, c in scenarios]
    feeling = f'<code>"{text(prompts["feeling"])}"</code>'
    end = "".join(f"<p><b>Shown:</b></p>{prompt(text)}" for text in later)
    return f"""<!doctype html><html><head><title>x</title><style>p {{ a, b, c }}</style>\
<script>var a = "<p>x, y, z</p>";</script></head><body><d-article>
      <h2>Results</h2><p>Filler, with commas, in a sentence that is no list.</p>{lens}
      {table(["Title", "Emotion", "Prompt"], told)}
      <p>The prompt is <i>Human: {text(prompts["preference"])}</i> and then {feeling}.</p>
      <h2>Full list of emotions</h2><p>{text(", ".join(emotions))}.</p>
      <h2>Dataset generation</h2><p>We used these:</p>{"".join(f"<p>{text(t)}</p>" for t in topics)}
      <p><b>Emotional stories prompt.</b></p>{prompt(prompts["story"])}\
<p><b>Neutral dialogues prompt.</b></p>{prompt(prompts["dialogue"])}
      <h2>Activities</h2>{table(["Category", "Activity", "Elo", "Blissful", "Hostile"], rows)}
      <h2>Transcripts</h2>{end}</d-article></body></html>"""
