(function () {
  "use strict";
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var narrow = window.matchMedia("(max-width: 560px)");
  var coarse = window.matchMedia("(pointer: coarse)");
  var charts = Array.prototype.slice.call(document.querySelectorAll(".chart"));
  var config = {responsive: true, displayModeBar: false, displaylogo: false, doubleClick: "reset"};

  // On a narrow screen the labels beside the lines go into the legend, and each label above the
  // panel gets a row of its own.
  function fitted(spec) {
    var layout = JSON.parse(JSON.stringify(spec.layout));
    var data = spec.data;
    if (coarse.matches) { layout.dragmode = false; }
    layout.font.color = getComputedStyle(document.documentElement).getPropertyValue("--soft").trim();
    if (!narrow.matches) { return {data: data, layout: layout}; }
    var side = layout.annotations.some(function (note) { return note.name === "side"; });
    var row = 0;
    layout.annotations = layout.annotations.filter(function (note) {
      if (note.name === "above") { note.yshift = spec.layout.meta.raise + 17 * row; row += 1; }
      return note.name !== "side";
    });
    layout.margin = Object.assign({}, layout.margin,
      {r: 14, l: 48, t: Math.max(layout.margin.t, 12 + spec.layout.meta.raise + 17 * row)});
    ["xaxis", "xaxis2"].forEach(function (name) {
      var axis = layout[name];
      if (axis && axis.tickmode === "array" && axis.tickvals.length > 5) {
        var keep = function (_, index) { return index % 2 === 0; };
        axis.tickvals = axis.tickvals.filter(keep);
        axis.ticktext = axis.ticktext.filter(keep);
      } else if (axis) { axis.nticks = 5; }
    });
    if (side) {
      layout.showlegend = true;
      layout.height += 60;
      data = data.map(function (trace) {
        return trace.meta && trace.meta.side ? Object.assign({}, trace, {showlegend: true}) : trace;
      });
    }
    return {data: data, layout: layout};
  }

  function draw(chart) {
    var spec = JSON.parse(document.getElementById(chart.dataset.figure).textContent);
    var figure = fitted(spec);
    Plotly.react(chart, figure.data, figure.layout, config);
  }

  function redraw() { charts.forEach(draw); }
  redraw();
  dark.addEventListener("change", redraw);
  narrow.addEventListener("change", redraw);
  window.addEventListener("beforeprint", function () { charts.forEach(function (chart) { Plotly.Plots.resize(chart); }); });
})();
