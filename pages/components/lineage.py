"""Where a bundle's parts come from and where they went, as a picture and as a list."""

from __future__ import annotations

import streamlit as st

from pages.components import changes, charts, tables, text, theme
from pages.components.theme import Tone
from services.queries.bundle import BundleView
from services.queries.differences import called, facts_of, version_of
from services.rules.domain import Component, ComponentKind

WIDTH = 26


def picture(view: BundleView) -> None:
    """From data and code through the model to the stages it is live in."""
    st.graphviz_chart(_dot(view), width="content", alt=_said(view))


def components(view: BundleView) -> None:
    """Every part, with what pins it; then what the run logged."""
    rows = [_row(component) for component in view.components]
    tables.table(["Component", "Version", "Digest", "Known about it"], rows, alt="Components of the bundle")
    if view.parameters:
        with st.expander(text.count(len(view.parameters), "training parameter")):
            tables.facts(
                [(text.plain(name), text.plain(value, 200)) for name, value in sorted(view.parameters.items())],
                alt="Training parameters",
            )


def _row(component: Component) -> list[str]:
    known = {name: value for name, value in facts_of(component).items() if name not in ("version", "digest", "context")}
    return [
        f":material/{theme.KIND_ICONS[component.kind]}: {text.plain(_called(component))}",
        text.plain(version_of(component), 20),
        text.mono(component.digest.rpartition(":")[2], 13) or "not known",
        ", ".join(f"{text.plain(name)} {changes.value(value)}" for name, value in known.items()),
    ]


def _said(view: BundleView) -> str:
    parts = text.listed([f"{c.kind.value} {c.name}" for c in view.components])
    places = f"; live in {text.listed(list(view.live_in))}" if view.live_in else ""
    return f"{view.ref} consists of {parts}{places}"


def _called(component: Component) -> str:
    kind = called(component)
    return kind if component.name.casefold() == kind.casefold() else f"{kind} {component.name}"


def _dot(view: BundleView) -> str:
    kind = charts.current_theme()
    line, words = theme.GRID[kind], theme.TEXT[kind]
    accent = theme.ACCENTS[kind][0]
    live = theme.colour(Tone.POSITIVE, kind)
    out = [
        "digraph {",
        '  graph [rankdir=LR, bgcolor="transparent", nodesep=0.18, ranksep=0.55, pad=0.05]',
        f'  node [shape=box, style="rounded", fontname="{theme.FONT}", fontsize=11, margin="0.16,0.08", '
        f'color="{line}", fontcolor="{words}"]',
        f'  edge [color="{line}", arrowsize=0.6]',
        f"  bundle [label={_quoted(str(view.ref))}, color={_quoted(accent)}, penwidth=2]",
    ]
    model = next((i for i, c in enumerate(view.components) if c.kind is ComponentKind.MODEL), None)
    for index, component in enumerate(view.components):
        out.append(f"  c{index} [label={_quoted(_label(component))}]")
        feeds = component.kind in (ComponentKind.DATASET, ComponentKind.CODE, ComponentKind.ENVIRONMENT)
        out.append(f"  c{index} -> {f'c{model}' if feeds and model is not None else 'bundle'}")
    for index, place in enumerate(view.live_in):
        out.append(f"  s{index} [label={_quoted(place)}, color={_quoted(live)}, penwidth=1.5]")
        out.append(f"  bundle -> s{index}")
    return "\n".join([*out, "}"])


def _label(component: Component) -> str:
    kind, version = called(component), version_of(component)
    name = "" if component.name.casefold() == kind.casefold() else _cut(component.name)
    return f"{kind}\n{name} {version}".rstrip()


def _cut(name: str) -> str:
    return name if len(name) <= WIDTH else name[: WIDTH - 1] + "…"


def _quoted(label: str) -> str:
    """A DOT string: what a person wrote is text, and no markup of Graphviz's either."""
    escaped = label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
