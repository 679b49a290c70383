"""Report: tick panels, get one self-contained HTML file that opens offline."""

from __future__ import annotations

import streamlit as st

from workbench.app import frame
from workbench.views.studies import report


def ticks(title: str, panels: tuple[report.Panel, ...], key: str) -> list[str]:
    chosen = []
    st.markdown(f"**{title}**")
    for panel in panels:
        if st.checkbox(panel.title, True, key=f"{key}_{panel.name}", help=panel.about or None):
            chosen.append(panel.name)
    return chosen


def page() -> None:
    here = frame.header(
        "Report",
        about="One HTML file with the figures, tables, configuration and versions in it. It opens without this app and without a network.",
    )
    with frame.panel("Report"):
        names = [info.name for info in here.runs if info.info is not None]
        asked = [name for name in st.query_params.get("runs", "").split(",") if name in names]
        if "report_runs" not in st.session_state:
            st.session_state["report_runs"] = asked or [here.run.name]
        chosen_names = st.multiselect("Runs", names, key="report_runs", max_selections=20)
        runs = [run for name in chosen_names if (run := frame.open_run(name)) is not None]
        if not runs:
            st.info("Choose a run or more.", icon=":material/description:")
            return
        left, right = st.columns(2)
        with left:
            chosen = ticks("Of each run", report.PANELS, "panel")
        with right:
            if len(runs) > 1:
                chosen += ticks("Of all runs together", report.COMPARISON, "panel")
            else:
                st.markdown("**Of all runs together**")
                st.caption("With two runs or more: curves, final numbers, paired and config differences.")
        if not chosen:
            st.info("Tick a panel.", icon=":material/check_box_outline_blank:")
            return
        name = f"report-{runs[0].name}{f'-and-{len(runs) - 1}-more' if len(runs) > 1 else ''}.html"
        st.download_button(
            "Make the report",
            lambda: report.page(runs, chosen).encode("utf-8", "replace"),
            file_name=name,
            mime="text/html",
            key="make_report",
            type="primary",
            icon=":material/download:",
            on_click="ignore",
        )
        st.caption("About 5 MB, of which plotly.js is most. The same from a terminal:")
        st.code(f"workbench report {' '.join(runs_.name for runs_ in runs)}", language="bash", wrap_lines=True)


page()
