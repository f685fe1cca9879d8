// The plot of a section: Vega-Lite's specification, with the rows that its table shows and the value that was chosen.
// What is on the Pareto front was computed when the page was made; here it is only looked up.
"use strict";
window.roibenchPlot = (section, form, rows) => {
  const source = section.querySelector(".numbers");
  if (!source) return undefined;
  const { models, values, marks, words } = JSON.parse(source.textContent);
  const template = document.getElementById("specification").textContent;
  const place = section.querySelector(".canvas");
  const { value, log } = form.elements;
  let isNear = false, drawn = Promise.resolve(), view = null, asked = 0;

  const points = (chosen) => rows
    .filter((row) => !row.hidden)
    .map((row) => Number(row.dataset.row))
    .filter((i) => chosen.y[i] !== null && models[i].x !== null)
    .map((i) => {
      const { name, tooltip } = models[i];
      const standing = chosen.standing[i];
      const score = { [`${chosen.title} [95 % CI]`]: chosen.text[i], "Pareto front": words[standing] };
      const told = { title: name, ...score, ...tooltip };
      const time = `${tooltip["time ms [95 % CI]"]} ms`;
      const label = `${name}: ${chosen.title} ${chosen.text[i]}, ${time}, ${words[standing]}`;
      return { ...models[i], y: chosen.y[i], low: chosen.low[i], high: chosen.high[i], standing, tooltip: told, label };
    });

  // Around the intervals, not below 0 where no value is.
  const bounds = (data) => {
    const low = Math.min(...data.map((one) => one.low ?? one.y));
    const high = Math.max(...data.map((one) => one.high ?? one.y));
    const margin = 0.08 * (high - low) || 0.05 * Math.abs(high) || 1;
    return [low < 0 ? low - margin : Math.max(0, low - margin), high + margin];
  };

  const specification = (chosen) => {
    const made = JSON.parse(template);
    const data = points(chosen);
    const isWide = place.clientWidth > 600;
    made.datasets = { points: data };
    made.height = isWide ? 400 : 300;
    made.config.legend.layout = { bottom: { direction: "vertical", anchor: "start" } }; // Altair's schema lacks it
    made.config.text = { limit: isWide ? 300 : 130 };
    for (const { encoding } of made.layer) {
      encoding.y.title = chosen.title;
      encoding.x.title = isWide ? "median time per image, ms" : "median ms per image";
      encoding.y.scale = { ...encoding.y.scale, ...(data.length && { domain: bounds(data) }) };
      encoding.x.scale = { ...encoding.x.scale, type: log.checked ? "log" : "linear" };
      for (const channel of ["color", "shape"]) {
        const field = encoding[channel]?.field;
        if (!field) continue;
        const names = [...new Set(data.map((one) => one[field]))];
        const longest = Math.max(0, ...names.map((name) => name.length));
        const columns = Math.max(1, Math.floor(place.clientWidth / (8 * longest + 30)));
        encoding[channel].legend = names.length > 1 ? { ...encoding[channel].legend, columns } : null;
      }
    }
    return made;
  };

  // A name that would lie on another one is left out: tooltips and the table have it.
  const leaveOutCovered = () => {
    const kept = [];
    for (const text of place.querySelectorAll(".mark-text.role-mark text")) {
      const box = text.getBoundingClientRect();
      const isCovered = kept.some((one) =>
        box.left < one.right && one.left < box.right && box.top < one.bottom && one.top < box.bottom);
      if (isCovered) text.style.display = "none";
      else kept.push(box);
    }
  };

  // What a mark's tooltip tells, below the plot: for a finger, and for the keyboard, by which marks can be reached.
  const told = section.querySelector(".told");
  const tell = ({ title, ...lines }) => {
    const make = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
    const list = make("dl", "");
    for (const [name, text] of Object.entries(lines)) list.append(make("dt", name), make("dd", text));
    told.replaceChildren(make("strong", title), list);
  };
  const makeReachable = () => {
    for (const mark of place.querySelectorAll(".mark-symbol.role-mark path")) {
      mark.tabIndex = 0;
      mark.addEventListener("focus", () => tell(mark.__data__.datum.tooltip));
    }
  };

  const draw = async (number) => {
    if (number !== asked) return; // a newer one waits
    view?.finalize();
    const options = { ast: true, actions: false, renderer: "svg", tooltip: { theme: "custom" }, logLevel: 1 };
    ({ view } = await window.vegaEmbed(place, specification(values[value.value]), options));
    leaveOutCovered();
    makeReachable();
    told.replaceChildren();
  };

  const show = () => {
    const chosen = values[value.value];
    for (const row of rows) {
      const cell = row.cells[row.cells.length - 1];
      const standing = chosen.standing[Number(row.dataset.row)];
      cell.textContent = marks[standing];
      cell.dataset.sort = standing;
    }
    if (!isNear) return;
    const number = ++asked;
    drawn = drawn.then(() => draw(number));
  };

  new IntersectionObserver((seen, observer) => {
    if (!seen.some((one) => one.isIntersecting)) return;
    observer.disconnect();
    isNear = true;
    show();
  }, { rootMargin: "600px" }).observe(place);
  return show;
};
