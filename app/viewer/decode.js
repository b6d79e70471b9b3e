// Reads what the page holds: see "The page" in docs/viewer.md.

const FORMAT = "modal-motion";
const FORMAT_VERSION = 1;

function readHeader() {
  const header = JSON.parse(document.getElementById("header").textContent);
  if (header.format !== FORMAT || header.version !== FORMAT_VERSION) {
    throw new Error(`format ${header.format} ${header.version}, this page reads ${FORMAT} ${FORMAT_VERSION}`);
  }
  return header;
}

// Coefficients in cells: Float32Array [M][4][H][W].
async function readModes({ width, height, scales }) {
  const levels = new Int8Array(await inflate(document.getElementById("modes").textContent));
  const values = new Float32Array(levels.length);
  const cells = width * height;
  if (levels.length !== 4 * cells * scales.length) throw new Error("the modes in this page are not complete");
  for (let start = 0; start < levels.length; start += cells) {
    const plane = levels.subarray(start, start + cells);
    addUp(plane, width);
    const scale = scales[Math.floor(start / (4 * cells))] / 127 ** 2;
    for (let p = 0; p < cells; p++) values[start + p] = scale * plane[p] * Math.abs(plane[p]);
  }
  return values;
}

// Undo the differences of columns, then of rows; Int8Array wraps as the encoder did.
function addUp(plane, width) {
  for (let p = width; p < plane.length; p++) plane[p] += plane[p - width];
  for (let p = 1; p < plane.length; p++) if (p % width) plane[p] += plane[p - 1];
}

function inflate(base64) {
  const bytes = Uint8Array.from(atob(base64.trim()), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}
