// The exported networks and the runtime that they run on: fetched with progress, checked against the manifest's hashes.

const NAMES = ["condition", "denoise", "decode"];
const MOST_THREADS = 8;
const INTERVAL = 100; // milliseconds between what is told of a download

// Where WebGPU is wanted and there, it is tried first; a driver that can't is no reason to stop.
export async function loadNetworks({ base, manifest, webgpu }, progress) {
  if (webgpu && manifest.runtimes.webgpu && (await hasWebGPU())) {
    try {
      return await load("webgpu", base, manifest, progress);
    } catch (error) {
      await progress("fetch", 0, 1); // where it was cancelled, this says so
      console.info(`WebGPU is not used: ${error.message}`);
    }
  }
  return load("wasm", base, manifest, progress);
}

async function hasWebGPU() {
  if (!globalThis.navigator?.gpu || !("Suspending" in WebAssembly)) return false;
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  return adapter !== null && !adapter.info?.isFallbackAdapter;
}

async function load(kind, base, manifest, progress) {
  const [script, glue, binary] = manifest.runtimes[kind].map((name) => `runtime/${name}`);
  const names = [binary, ...NAMES.map((name) => `models/${name}.onnx`)];
  const [wasm, ...models] = await fetchAll(names, base, manifest, progress);
  await progress("start", 0, NAMES.length);
  const ort = await import(new URL(script, base));
  const threads = globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1;
  ort.env.logLevel = "error"; // it warns of every operation that a graphics card leaves to the processor
  Object.assign(ort.env.wasm, { wasmBinary: wasm, wasmPaths: { mjs: new URL(glue, base).href }, numThreads: threads });
  const sessions = {};
  for (const [index, name] of NAMES.entries()) {
    const options = { executionProviders: [kind], graphOptimizationLevel: "all" };
    sessions[name] = await ort.InferenceSession.create(new Uint8Array(models[index]), options);
    await progress("start", index + 1, NAMES.length);
  }
  return new Networks(ort, sessions, { manifest, backend: kind, threads });
}

// Files one after the other, each as a whole and with the hash that the manifest tells.
async function fetchAll(names, base, manifest, progress) {
  const total = names.reduce((sum, name) => sum + manifest.files[name].bytes, 0);
  let before = 0;
  const files = [];
  for (const name of names) {
    const start = before;
    files.push(await fetchFile(new URL(name, base), manifest.files[name], (bytes) => progress("fetch", start + bytes, total)));
    before += manifest.files[name].bytes;
  }
  return files;
}

async function fetchFile(url, { bytes, sha256 }, told) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname} can't be fetched: the host answers ${response.status}`);
  const content = new Uint8Array(bytes);
  let [filled, last] = [0, 0];
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (filled + value.length > bytes) throw new Error(`${url.pathname} is larger than it should be; reload the page`);
    content.set(value, filled);
    filled += value.length;
    if (performance.now() - last < INTERVAL) continue;
    last = performance.now();
    await told(filled);
  }
  if (filled !== bytes || (await hashOf(content, sha256)) !== sha256) {
    throw new Error(`${url.pathname} did not arrive as it was built; reload the page`);
  }
  return content.buffer;
}

// Only pages that came by HTTPS or from this machine can hash; the others believe their host.
async function hashOf(content, otherwise) {
  if (!globalThis.crypto?.subtle) return otherwise;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

class Networks {
  constructor(ort, sessions, facts) {
    Object.assign(this, facts);
    this.ort = ort;
    this.sessions = sessions;
  }

  tensor(values, shape) {
    return new this.ort.Tensor(values instanceof BigInt64Array ? "int64" : "float32", values, shape);
  }

  // The one output of a network.
  async run(name, inputs) {
    const session = this.sessions[name];
    return (await session.run(inputs))[session.outputNames[0]];
  }
}
