// The page begins: the engine is chosen that the manifest names, and everything is connected.

import { connect } from "./controls.js";
import { BrowserEngine } from "./engine/client.js";
import { PythonEngine } from "./engine/python.js";
import { MOST_BYTES } from "./intake.js";
import { formatsMade } from "./save/loop.js";
import { Studio, state } from "./studio.js";
import { settle } from "./visit.js";

const byId = (id) => document.getElementById(id);

async function start() {
  if (!document.createElement("canvas").getContext("webgl2")) {
    byId("intake").hidden = true;
    byId("trouble").textContent =
      "This browser offers no WebGL2, which drawing the motion needs. A recent Chrome, Edge, Firefox or Safari has it, unless it is switched off in the settings.";
    byId("trouble").hidden = false;
    return state("fallback");
  }
  const response = await fetch("manifest.json");
  if (!response.ok) throw new Error(`manifest.json: the host answers ${response.status}`);
  const manifest = await response.json();
  const engine = manifest.engine === "python" ? new PythonEngine(manifest) : await browserEngine(manifest);
  byId("where").textContent = engine.words;
  const studio = new Studio(manifest, engine, manifest.formats ?? (await formatsMade(manifest.model.fps)));
  globalThis.studio = studio; // for whoever looks with the browser's tools, and for the tests
  describeLimits(manifest);
  connect(studio);
  studio.arrange();
  // What an earlier visit has fetched is started at once; else it is fetched as soon as a photo is on its way.
  if (await globalThis.caches?.match("models/denoise.onnx").catch(() => null)) engine.warm();
  state("ready");
}

async function browserEngine(manifest) {
  await settle();
  const webgpu = !location.search.includes("wasm"); // "?wasm" behind the address does without
  return new BrowserEngine(manifest, { base: new URL(".", location.href).href, webgpu });
}

function describeLimits({ photos, files = {} }) {
  if (photos) {
    byId("file").accept = photos.accept;
    byId("formats").textContent = `${photos.words}; up to ${MOST_BYTES / 1e6} MB.`;
    return;
  }
  const needed = Object.entries(files).filter(([name]) => /^models\/|simd-threaded\.wasm$/.test(name));
  const weight = needed.reduce((sum, [, { bytes }]) => sum + bytes, 0);
  byId("weight").textContent = `The first photo fetches about ${Math.round(weight / 1e6)} MB, later ones nothing.`;
}

start().catch((error) => {
  byId("trouble").textContent = `The studio could not start: ${error.message}`;
  byId("trouble").hidden = false;
  state("failed");
});
