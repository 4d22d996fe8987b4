// Elements. Everything from the data becomes text of nodes or the value of attributes, never markup: no innerHTML anywhere.

const byId = (id) => document.getElementById(id);
const wellFormed = (value) => (value.toWellFormed ? value.toWellFormed() : value.replace(/\p{Surrogate}/gu, "\ufffd"));

/** Create an element (named as in hyperscript). Functions among the attributes become listeners; null, undefined and false are left out. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : wellFormed(String(value)));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Details that draw what they hold when they are first opened. ``key`` lets a redrawn page find them open again. */
function unfold(key, summary, draw, attributes = {}) {
  const details = h("details", { "data-key": key, ...attributes }, h("summary", {}, summary));
  let drawn = false;
  const fill = () => {
    if (!drawn) details.append(...[draw()].flat(Infinity).filter(Boolean));
    drawn = true;
  };
  details.addEventListener("toggle", () => details.open && fill());
  if (details.open) fill();
  return details;
}

// Regions that scroll sideways take the focus, so that the keyboard reaches what lies outside; others need no stop.
const overflow = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth + 1) target.setAttribute("tabindex", "0");
    else target.removeAttribute("tabindex");
  }
});

function scrollable(label, attributes, ...children) {
  const region = h("div", { role: "group", "aria-label": label, ...attributes }, ...children);
  overflow.observe(region);
  return region;
}
