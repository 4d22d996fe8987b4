"use strict";
(async () => {
  const app = document.getElementById("app");
  const served = document.querySelector("meta[name=data-source]").content === "server";
  const summary = served
    ? await (await fetch("data/summary.json")).json()
    : JSON.parse(document.getElementById("report-summary").textContent);
  const add = (name, text) => app.appendChild(Object.assign(document.createElement(name), { textContent: text }));
  for (const sentence of summary.headline) add("p", sentence);
  for (const section of summary.sections) {
    add("h2", section.title);
    for (const text of section.text) add("p", text);
    for (const id of section.figures) {
      const figure = summary.figures.find((one) => one.id === id);
      const image = add("img", "");
      image.src = figure.svg.light;
      image.alt = figure.alt;
    }
  }
})();
