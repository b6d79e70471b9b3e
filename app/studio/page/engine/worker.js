// Does the computing, beside the page: loads the networks, looks at a photo, samples motions of it.
// Messages in: {id, kind: "load" | "look" | "sample", ...} and {kind: "cancel", id}. Messages out: {id, progress} and at
// last {id, result} or {id, error, cancelled}.

import { finishMotion } from "./motion.js";
import { normalNoise } from "./noise.js";
import { loadNetworks } from "./networks.js";
import { modelSize, photoPlanes } from "./resize.js";
import { sampleLatents } from "./sampler.js";

class Cancelled extends Error {}

let networks = null;
let looked = null; // what is known of the photo at hand: image, condition and the size that the model sees
const cancelled = new Set();
let queue = Promise.resolve(); // one after the other: they share the cores

addEventListener("message", ({ data }) => {
  if (data.kind === "cancel") cancelled.add(data.id);
  else queue = queue.then(() => work(data));
});

async function work({ id, kind, ...given }) {
  const progress = async (stage, done, total) => {
    postMessage({ id, progress: { stage, done, total } });
    await new Promise((resume) => setTimeout(resume)); // lets a cancellation in
    if (cancelled.has(id)) throw new Cancelled("cancelled");
  };
  try {
    const result = await WORK[kind](given, progress);
    postMessage({ id, result }, result?.halves ? [result.halves.buffer] : []);
  } catch (error) {
    postMessage({ id, error: error.message || String(error), cancelled: error instanceof Cancelled });
  } finally {
    cancelled.delete(id);
  }
}

const WORK = {
  async load(given, progress) {
    networks = await loadNetworks(given, progress);
    return { backend: networks.backend, threads: networks.threads };
  },

  async look({ rgba, size }, progress) {
    const { model } = networks.manifest;
    looked = null;
    await progress("look", 0, 1);
    const seen = modelSize(size, model.size, model.size_multiple);
    const image = networks.tensor(photoPlanes(rgba, size, seen), [1, 3, seen[1], seen[0]]);
    const condition = await networks.run("condition", { image });
    looked = { size: seen, image, condition, blind: networks.tensor(new Float32Array(condition.size), condition.dims) };
    return { size: seen };
  },

  async sample({ seed, wind }, progress) {
    const { model } = networks.manifest;
    const { size, image, condition, blind } = looked;
    const [columns, rows] = size.map((side) => side / model.latent_factor);
    const shape = [1, model.num_frequencies, model.latent_channels, rows, columns];
    const noise = normalNoise(seed, shape.reduce((a, b) => a * b, 1));
    const strength = model.wind === null ? {} : { strength: networks.tensor(Float32Array.of(wind * model.wind), [1]) };
    const predict = async (noisy, timestep, seesPhoto) => {
      const latents = networks.tensor(noisy, shape);
      const time = networks.tensor(BigInt64Array.of(BigInt(timestep)), [1]);
      const seen = seesPhoto ? condition : blind;
      return (await networks.run("denoise", { latents, timestep: time, condition: seen, ...strength })).data;
    };
    await progress("motion", 0, model.steps.length);
    const latents = await sampleLatents(noise, model, predict, (done) => progress("motion", done, model.steps.length));
    const decoded = await networks.run("decode", { latents: networks.tensor(latents, shape), image, ...strength });
    await progress("finish", 0, 1);
    return { halves: finishMotion(decoded.data, size, model.num_frames), size, seed: String(seed), wind };
  },
};
