// The cursor's iteration on every panel of a chart, drawn over it: moving it leaves the chart as it is.
export default function ({ data }) {
  const { chart, value, color } = data;
  let layer, graph, waiting;
  const draw = () => {
    const layout = graph._fullLayout;
    layer.replaceChildren();
    for (const x of Object.entries(layout).filter(([name]) => /^xaxis\d*$/.test(name)).map(([, axis]) => axis)) {
      const y = layout[x.anchor.replace("y", "yaxis")];
      const left = x.l2p(value);
      if (left < 0 || left > x._length) continue;
      const line = document.createElement("div");
      Object.assign(line.style, {
        position: "absolute", left: `${x._offset + left}px`, top: `${y._offset}px`, height: `${y._length}px`, borderLeft: `1.5px dotted ${color}`,
      });
      layer.append(line);
    }
  };
  const attach = () => {
    graph = document.querySelector(`.st-key-${chart} .js-plotly-plot`);
    if (!graph?._fullLayout?.xaxis?._length) {
      waiting = setTimeout(attach, 30);
      return;
    }
    layer = graph.querySelector(":scope > .cursor-line") ?? Object.assign(document.createElement("div"), { className: "cursor-line" });
    Object.assign(layer.style, { position: "absolute", inset: "0", pointerEvents: "none" });
    graph.append(layer);
    draw();
    graph.on("plotly_afterplot", draw);
  };
  attach();
  return () => {
    clearTimeout(waiting);
    graph?.removeListener?.("plotly_afterplot", draw);
    layer?.remove();
  };
}
