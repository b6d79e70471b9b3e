// The studio: photos in, motions sampled beside the page, the loop shown, played with and saved.
/* global setPaused */

import { connect } from "./controls.js";
import { Engine } from "./engine/client.js";
import { readPhoto } from "./intake.js";
import { Progress } from "./progress.js";
import { download, motionFile, pokePage, saveVideo, stemOf } from "./save.js";
import { Stage } from "./stage.js";
import { Strip } from "./strip.js";
import { settle } from "./visit.js";

const AT_ONCE = 3; // motions that "More motions" makes
const REDUCED = matchMedia("(prefers-reduced-motion: reduce)");
const byId = (id) => document.getElementById(id);
const state = (name) => (document.documentElement.dataset.state = name);

class Studio {
  constructor(manifest) {
    this.manifest = manifest;
    const webgpu = !location.search.includes("wasm"); // "?wasm" behind the address does without
    this.engine = new Engine(manifest, { base: new URL(".", location.href).href, webgpu });
    this.stage = new Stage(byId("holder"), byId("stage-template"), (text) => this.say(text));
    this.stage.onLoop = (playing) => byId("loop").setAttribute("aria-pressed", playing);
    this.strip = new Strip(byId("strip"), (motion) => this.show(motion));
    this.progress = new Progress({ section: byId("working"), bar: byId("bar"), doing: byId("doing") });
    this.photo = null;
    this.shown = null; // the motion on the stage
    this.nextSeed = 0;
    this.wind = 1; // of the next motion
    this.work = null; // AbortController of what is going on
  }

  say(text) {
    if (byId("status").textContent !== text) byId("status").textContent = text;
  }

  trouble(message) {
    byId("trouble").textContent = message;
    byId("trouble").hidden = !message;
    if (message) byId("trouble").scrollIntoView({ block: "nearest" });
  }

  // Do one thing at a time: what comes later stops what is going on. Failures are told, cancelling is none.
  async during(name, action) {
    this.work?.abort();
    const work = new AbortController();
    this.work = work;
    this.trouble("");
    state("working");
    try {
      await action((kind, given, more) => this.ask(work, kind, given, more), work.signal);
    } catch (error) {
      if (!error.cancelled && !work.signal.aborted) this.trouble(name ? `${name}: ${error.message}` : error.message);
    }
    if (this.work !== work) return;
    this.work = null;
    this.progress.end();
    this.arrange();
    state(this.shown ? "shown" : "ready");
  }

  async ask(work, kind, given = {}, more = {}) {
    if (work.signal.aborted) throw Object.assign(new Error("cancelled"), { cancelled: true });
    const told = (progress) => this.work === work && this.progress.tell(progress);
    return this.engine.ask(kind, given, { told, signal: work.signal, ...more });
  }

  // A photo, its first motion, and the stage.
  take(file) {
    return this.during(file.name || "photo", async (ask, signal) => {
      const first = this.engine.ready ? [] : ["fetch", "start"];
      this.progress.begin([...first, "look", "motion", "finish"]);
      signal.addEventListener("abort", () => this.engine.stopLoading());
      const photo = await readPhoto(file);
      if (signal.aborted) return;
      this.forget();
      this.photo = photo;
      this.preview(photo);
      this.arrange();
      const { backend, threads } = await this.engine.load((progress) => !signal.aborted && this.progress.tell(progress));
      byId("engine").textContent = `Computed by ${backend === "webgpu" ? "WebGPU" : `WebAssembly on ${threads} thread${threads > 1 ? "s" : ""}`}.`;
      await ask("look", { rgba: photo.rgba, size: photo.rgbaSize }, { transfer: [photo.rgba.buffer] });
      await this.sample(ask, photo);
    });
  }

  // Begin to load the networks before the photo is there.
  warm() {
    this.engine.load().catch(() => {}); // is told when a photo comes and it fails again
  }

  // The photo as it is, while nothing moves yet.
  preview({ bitmap }) {
    const canvas = byId("preview");
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
  }

  async sample(ask, photo) {
    const found = await ask("sample", { seed: this.nextSeed, wind: this.wind });
    if (this.photo !== photo) return;
    this.nextSeed += 1;
    const motion = { ...found, seed: Number(found.seed) };
    this.strip.add(this.manifest, photo, motion);
    if (!this.shown || motion.wind !== this.shown.wind) this.show(motion);
    this.arrange();
    const mostly = this.stage.viewer.basis.strengths.every((strength) => strength < 0.3);
    if (mostly) this.say("The model finds hardly anything here that sways; a larger amplitude makes more of it.");
  }

  more() {
    return this.during("", async (ask) => {
      for (let count = 0; count < AT_ONCE && !this.strip.full; count++) {
        this.progress.begin(["motion", "finish"]);
        await this.sample(ask, this.photo);
      }
    });
  }

  again() {
    return this.during("", async (ask) => {
      this.progress.begin(["motion", "finish"]);
      if (this.strip.full) this.strip.clear();
      this.nextSeed = this.shown.seed;
      await this.sample(ask, this.photo);
    });
  }

  show(motion) {
    this.shown = motion;
    byId("result").hidden = false;
    this.stage.show(this.manifest, this.photo, motion, { paused: REDUCED.matches });
    this.strip.still = REDUCED.matches;
    this.strip.press(motion);
    this.say(REDUCED.matches ? "Paused, because this system asks for less motion." : "");
    this.arrange();
  }

  forget() {
    this.stage.clear();
    this.strip.clear();
    this.photo?.bitmap.close();
    byId("preview").width = 0;
    Object.assign(this, { photo: null, shown: null, nextSeed: 0 });
  }

  // What is there to be seen and pressed.
  arrange() {
    const busy = this.work !== null;
    byId("intake").hidden = this.photo !== null && (busy || this.shown !== null);
    byId("result").hidden = this.shown === null;
    byId("preview").hidden = this.photo === null || this.shown !== null;
    byId("more").disabled = busy || this.strip.full;
    byId("wind-note").hidden = !this.shown || this.wind === this.shown.wind;
    byId("again").disabled = busy;
    for (const id of ["save-video", "save-page", "save-motion"]) byId(id).disabled = busy;
  }

  another() {
    this.work?.abort();
    this.forget();
    this.trouble("");
    this.arrange();
    state("ready");
    byId("drop").focus();
  }

  async save(kind) {
    await this.during("", async (_, signal) => {
      const { manifest, photo, shown, stage } = this;
      const { free } = stage.viewer.basis;
      const stem = stemOf(photo);
      if (kind === "motion") this.keep(motionFile(manifest, photo, shown, free), `${stem}.safetensors`);
      if (kind === "page") {
        const parts = await (await fetch("viewer/page.json")).json();
        this.keep(await pokePage(parts, manifest, photo, shown, free), `${stem}.html`);
      }
      if (kind === "video") {
        const blob = await this.drawn(() => saveVideo(stage, manifest, photo, (done, total) => {
          this.progress.tell({ stage: "video", done, total });
          if (signal.aborted) throw Object.assign(new Error("cancelled"), { cancelled: true });
        }));
        this.keep(blob, `${stem}.${blob.type.endsWith("mp4") ? "mp4" : "webm"}`);
      }
    });
  }

  // What moves on the page stands still meanwhile: a machine without a graphics card draws either.
  async drawn(action) {
    const { viewer } = this.stage;
    const [paused, still] = [viewer.paused, this.strip.still];
    this.progress.begin(["video"]);
    setPaused(viewer, true);
    this.strip.still = true;
    try {
      return await action();
    } finally {
      setPaused(viewer, paused);
      this.strip.still = still;
    }
  }

  keep(blob, name) {
    this.say(`Saved as ${download(blob, name)}.`);
  }
}

async function start() {
  if (!document.createElement("canvas").getContext("webgl2")) {
    byId("intake").hidden = true;
    byId("trouble").textContent =
      "This browser offers no WebGL2, which drawing the motion needs. A recent Chrome, Edge, Firefox or Safari has it, unless it is switched off in the settings.";
    byId("trouble").hidden = false;
    return state("fallback");
  }
  await settle();
  const response = await fetch("manifest.json");
  if (!response.ok) throw new Error(`manifest.json: the host answers ${response.status}`);
  const manifest = await response.json();
  const needed = Object.entries(manifest.files).filter(([name]) => /^models\/|simd-threaded\.wasm$/.test(name));
  const weight = needed.reduce((sum, [, { bytes }]) => sum + bytes, 0);
  byId("weight").textContent = `The first photo fetches about ${Math.round(weight / 1e6)} MB, later ones nothing.`;
  const studio = new Studio(manifest);
  globalThis.studio = studio; // for whoever looks with the browser's tools, and for the tests
  connect(studio);
  studio.arrange();
  // What an earlier visit has fetched is started at once; else it is fetched as soon as a photo is on its way.
  if (await globalThis.caches?.match("models/denoise.onnx").catch(() => null)) studio.warm();
  state("ready");
}

start().catch((error) => {
  byId("trouble").textContent = `The studio could not start: ${error.message}`;
  byId("trouble").hidden = false;
  state("failed");
});
