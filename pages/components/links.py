"""Links within the dashboard. The state of a view is in its address, so that every view is a link to send."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from pages.components import text, theme
from services.rules.domain import BundleRef

OVERVIEW = "pages/deliver/overview.py"
BUNDLES = "pages/deliver/bundles.py"
BUNDLE = "pages/deliver/bundle.py"
APPROVALS = "pages/deliver/approvals.py"
APPLICATION = "pages/deliver/application.py"
DELIVERY = "pages/measure/delivery.py"
CONFIDENCE = "pages/measure/confidence.py"


def to_bundle(ref: BundleRef, label: str = "", icon: str = "bundle") -> None:
    _link(BUNDLE, label or str(ref), {"ref": str(ref)}, icon)


def to_application(name: str, label: str = "", icon: str = "application") -> None:
    _link(APPLICATION, label or name, {"name": name}, icon)


def to_approval(promotion_id: int, label: str) -> None:
    _link(APPROVALS, label, {"promotion": str(promotion_id)}, "approval")


def to_approvals(label: str) -> None:
    _link(APPROVALS, label, {}, "approval")


def to_bundles(label: str, query: Mapping[str, str] | None = None) -> None:
    _link(BUNDLES, label, query or {}, "bundle")


def to_overview(label: str = "Overview") -> None:
    _link(OVERVIEW, label, {}, "overview")


def to_delivery(label: str = "Delivery", query: Mapping[str, str] | None = None) -> None:
    _link(DELIVERY, label, query or {}, "delivery")


def _link(page: str, label: str, query: Mapping[str, str], icon: str) -> None:
    st.page_link(page, label=f"**{text.plain(label, 80)}**", icon=theme.icon(icon), query_params=dict(query))


def parameter(name: str) -> str:
    """One parameter of the address; empty where it is not there."""
    return st.query_params.get(name, "").strip()
