(function () {
  "use strict";
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var narrow = window.matchMedia("(max-width: 560px)");
  var coarse = window.matchMedia("(pointer: coarse)");
  var charts = Array.prototype.slice.call(document.querySelectorAll(".chart"));
  var config = {
    showSendToCloud: false, plotlyServerURL: "", responsive: true, displayModeBar: false, displaylogo: false, doubleClick: "reset"
  };

  // On a narrow screen the labels beside the lines go into the legend, and each label above the
  // panel gets a row of its own.
  function fitted(spec) {
    var layout = JSON.parse(JSON.stringify(spec.layout));
    var data = spec.data;
    if (coarse.matches) { layout.dragmode = false; }
    layout.font.color = getComputedStyle(document.documentElement).getPropertyValue("--soft").trim();
    if (!narrow.matches) { return {data: data, layout: layout}; }
    var room = layout.margin.t - layout.meta.raise;
    var row = 0;
    layout.annotations = layout.annotations.filter(function (note) {
      if (note.name === "level") {
        Object.assign(note, {xanchor: "right", yanchor: "bottom", xshift: 0});
      }
      if (note.name === "above") { note.yshift = layout.meta.raise + 17 * row; row += 1; }
      return note.name !== "side";
    });
    var names = data.filter(function (trace) {
      return trace.showlegend || (trace.meta && trace.meta.side);
    }).map(function (trace) { return trace.name.length; });
    var longest = 44 + 7 * Math.max.apply(null, names.concat([0]));
    var columns = Math.max(1, Math.floor((window.innerWidth - 50) / longest));
    var legend = 20 * Math.ceil(names.length / columns) + (names.length ? 8 : 0);
    var added = Math.max(0, 10 + 17 * row - room);
    layout.height += added + legend - layout.meta.legend;
    layout.margin.b += legend - layout.meta.legend;
    layout.margin.t += added;
    layout.margin.r = 14;
    layout.margin.l = 48;
    layout.showlegend = names.length > 0;
    data = data.map(function (trace) {
      return trace.meta && trace.meta.side ? Object.assign({}, trace, {showlegend: true}) : trace;
    });
    ["xaxis", "xaxis2"].forEach(function (name) {
      var axis = layout[name];
      if (axis && axis.tickmode === "array" && axis.tickvals.length > 5) {
        var keep = function (_, index) { return index % 2 === 0; };
        axis.tickvals = axis.tickvals.filter(keep);
        axis.ticktext = axis.ticktext.filter(keep);
      } else if (axis) { axis.nticks = 5; }
    });
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
  window.matchMedia("print").addEventListener("change", redraw);
})();
