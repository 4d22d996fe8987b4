// Texts from models and datasets: hidden characters made visible, each text in its own direction, long ones cut.

const LONG_TEXT = 2000; // characters shown of a longer text until a reader asks for all
const HIDDEN = /[\p{Cc}\p{Bidi_Control}\p{Surrogate}\u00ad\u200b\u2028\u2029\u2060-\u2064\ufeff\u{e0000}-\u{e007f}]/u;
const EACH_HIDDEN = new RegExp(HIDDEN, "gu");
const CONTROLS = "NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US";
const NAMES = {
  ...Object.fromEntries(CONTROLS.split(" ").map((name, code) => [String.fromCharCode(code), name])), "\x7f": "DEL",
  "\u061c": "ALM", "\u200e": "LRM", "\u200f": "RLM", "\u202a": "LRE", "\u202b": "RLE", "\u202c": "PDF", "\u202d": "LRO",
  "\u202e": "RLO", "\u2066": "LRI", "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI", "\u200b": "ZWSP", "\ufeff": "BOM",
};

const codePoint = (character) => `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

/** Return what stands for a character that has no picture of its own, or that changes the order of others. */
function symbol(character) {
  return `[${NAMES[character] ?? codePoint(character)}]`;
}

/** Return ``text`` in one line, hidden characters made visible. */
const inLine = (text) => text.replaceAll("\n", " ↵ ").replace(EACH_HIDDEN, symbol);

/** Return ``text`` as nodes: hidden characters as marks, and the end of each line marked. */
function shown(text) {
  if (!HIDDEN.test(text)) return [text];
  const nodes = [];
  let from = 0;
  for (const found of text.matchAll(EACH_HIDDEN)) {
    nodes.push(text.slice(from, found.index));
    const [character] = found;
    if (character === "\n") nodes.push(h("span", { class: "sign", "aria-hidden": "true" }, "↵"), "\n");
    else nodes.push(h("span", { class: "sign", title: codePoint(character) }, symbol(character)));
    from = found.index + character.length;
  }
  nodes.push(text.slice(from));
  return nodes;
}

/** Return ``text`` in an element of its own direction. A long one is cut, with a button that shows all. ``draw`` makes the nodes. */
function quoted(text, attributes = {}, draw = shown) {
  const element = h("div", { dir: "auto", ...attributes, class: `text ${attributes.class ?? ""}` });
  if (text.length <= LONG_TEXT) {
    element.append(...draw(text));
    return element;
  }
  const start = text.slice(0, LONG_TEXT).replace(/[\ud800-\udbff]$/, "");
  const whole = () => element.replaceChildren(text.replace(new RegExp(`(?!\\n)${HIDDEN.source}`, "gu"), symbol));
  const button = h("button", { type: "button", click: whole }, `Show all ${text.length.toLocaleString("en")} characters`);
  element.append(...draw(start), "… ", button);
  return element;
}

const bdi = (text) => h("bdi", {}, ...shown(text));
