// Draws every stored figure of a page, in the colors of the page's mode, and again when the mode changes.
(function () {
  "use strict";

  const MODES = {
    light: { text: "#4a5260", grid: "#e4e7eb", hover: "#ffffff" },
    dark: { text: "#c5ccd3", grid: "#38404b", hover: "#1f252d" },
  };

  function mode() {
    return document.documentElement.dataset.theme === "dark" ? MODES.dark : MODES.light;
  }

  // A stored figure carries the template of companion.plotting; only its colors change with the mode.
  function themed(template) {
    const colors = mode();
    const copy = JSON.parse(JSON.stringify(template || {}));
    const layout = (copy.layout = copy.layout || {});
    layout.font = Object.assign({}, layout.font, { color: colors.text });
    layout.hoverlabel = { bgcolor: colors.hover, bordercolor: colors.grid, font: { color: colors.text } };
    for (const axis of ["xaxis", "yaxis"]) {
      layout[axis] = Object.assign({}, layout[axis], { gridcolor: colors.grid, linecolor: colors.grid });
    }
    return copy;
  }

  function broken(text, most) {
    const lines = [""];
    for (const word of text.split(/ |<br>/)) {
      const line = lines[lines.length - 1];
      if (line && line.length + word.length >= most) lines.push(word);
      else lines[lines.length - 1] = line ? line + " " + word : word;
    }
    return lines.join("<br>");
  }

  // A long axis title breaks into lines instead of running off the figure. How much room it has shows when it is drawn:
  // it is centered on the axis, which long labels push aside.
  function fitTitles(plot) {
    const box = plot.getBoundingClientRect();
    const changes = {};
    for (const drawn of plot.querySelectorAll(".infolayer text")) {
      const name = /^([xy])(\d*)title$/.exec(drawn.getAttribute("class"));
      if (!name) continue;
      const place = drawn.getBoundingClientRect();
      const over = Math.max(
        place.right - box.right, box.left - place.left, place.bottom - box.bottom, box.top - place.top);
      if (over <= 0) continue;
      const axis = name[1] + "axis" + name[2];
      const text = plot.layout[axis].title.text;
      const longest = Math.max(...text.split("<br>").map(function (line) { return line.length; }));
      const lines = broken(text, Math.floor(longest * (1 - (2 * over) / Math.max(place.width, place.height))));
      if (lines !== text) changes[axis + ".title.text"] = lines;
    }
    if (Object.keys(changes).length) Plotly.relayout(plot, changes);
  }

  // Plotly's own slider and button can not be reached by keyboard, so the browser's take their place.
  function addSlider(block, plot, slider, menu) {
    const row = document.createElement("div");
    const label = document.createElement("label");
    const input = document.createElement("input");
    const output = document.createElement("output");
    const prefix = slider.currentvalue.prefix;
    row.className = "book-slider";
    Object.assign(input, { type: "range", min: 0, max: slider.steps.length - 1, step: 1, value: 0 });
    input.setAttribute("aria-label", prefix.replace(/:\s*$/, ""));
    const show = function () {
      const step = slider.steps[Number(input.value)];
      output.textContent = prefix + step.label;
      input.setAttribute("aria-valuetext", step.label);
      return step;
    };
    const move = function () {
      const step = show();
      Plotly.animate(plot, step.args[0], step.args[1]);
    };
    input.addEventListener("input", move);
    show();
    label.append(output, input);
    // Who asked for less motion moves the slider himself.
    if (menu && !window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
      row.append(playButton(input, output, move, menu.buttons[0].args[1].frame.duration));
    }
    row.append(label);
    block.append(row);
  }

  function playButton(input, output, move, duration) {
    const button = document.createElement("button");
    let timer = null;
    const pause = function () {
      clearInterval(timer);
      timer = null;
      button.textContent = "Play";
      output.removeAttribute("aria-live");
    };
    const advance = function () {
      input.value = Number(input.value) + 1;
      move();
      if (input.value === input.max) pause();
    };
    button.type = "button";
    button.addEventListener("click", function () {
      if (timer !== null) return pause();
      if (input.value === input.max) {
        input.value = 0;
        move();
      }
      button.textContent = "Pause";
      output.setAttribute("aria-live", "off"); // a screen reader would read out every frame
      timer = setInterval(advance, duration);
    });
    input.addEventListener("input", pause);
    pause();
    return button;
  }

  function draw(block) {
    const figure = JSON.parse(block.querySelector('script[type="application/json"]').textContent);
    const layout = figure.layout;
    const slider = (layout.sliders || [])[0];
    const menu = (layout.updatemenus || [])[0];
    const template = layout.template;
    delete layout.sliders;
    delete layout.updatemenus;
    layout.template = themed(template);
    // On a touch screen a drag scrolls the page instead of zooming the figure.
    if (window.matchMedia("(pointer: coarse)").matches) layout.dragmode = false;
    const plot = document.createElement("div");
    block.append(plot);
    const config = { responsive: true, displaylogo: false };
    Plotly.newPlot(plot, { data: figure.data, layout: layout, frames: figure.frames || [], config: config }).then(
      function () {
        fitTitles(plot);
        plot.on("plotly_afterplot", function () { fitTitles(plot); });
      });
    if (slider) addSlider(block, plot, slider, menu);
    return function () {
      Plotly.relayout(plot, { template: themed(template) });
    };
  }

  function drawAll() {
    const redraws = Array.from(document.querySelectorAll(".book-plotly"), draw);
    new MutationObserver(function () {
      redraws.forEach(function (redraw) { redraw(); });
    }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", drawAll);
  else drawAll();
})();
