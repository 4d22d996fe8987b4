// Where the data come from: blocks in the page, compressed, or the server that the page came from.

const KEPT_CHUNKS = 12; // chunks of cases held in memory

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function unpack(id) {
  const block = byId(id);
  if (!block) throw new Error(`this file lacks its part ${id}; it may be cut off`);
  const stream = new Blob([bytesOf(block.textContent.trim())]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

async function fetched(name) {
  const response = await fetch(`data/${name}.json`, { cache: "no-store" });
  if (!response.ok) throw new Error(`the server answered ${response.status} for ${name}`);
  return response.json();
}

const live = document.querySelector("meta[name=data-source]")?.content === "server";
const load = live ? fetched : unpack;
let chunks = new Map();

/** Return what is known of the case record in ``row``. */
async function detail(row) {
  const number = Math.floor(row / summary.chunk_size);
  const chunk = chunks.get(number) ?? load(`cases-${number}`);
  chunks.delete(number); // the one used last moves to the end
  chunks.set(number, chunk);
  if (chunks.size > KEPT_CHUNKS) chunks.delete(chunks.keys().next().value);
  try {
    const found = (await chunk)[row % summary.chunk_size];
    if (!found) throw new Error(`part cases-${number} lacks row ${row}`);
    return found;
  } catch (error) {
    chunks.delete(number);
    throw error;
  }
}
