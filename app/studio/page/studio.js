// The studio: photos in, motions sampled by the engine, the loop shown, played with and saved.

import { Progress } from "./progress.js";
import { download, stemOf } from "./save/file.js";
import { saveLoop } from "./save/loop.js";
import { motionFile } from "./save/motion.js";
import { pokePage } from "./save/poke_page.js";
import { Stage } from "./stage.js";
import { Strip } from "./strip.js";

const AT_ONCE = 3; // motions that "More motions" makes
const START = { seed: 0, amplitude: 1, speed: 1, wind: 1, size: "1024" };
const SIZES = [["512", "512 pixels"], ["1024", "1024 pixels"]]; // of the longer side of a saved loop
const REDUCED = matchMedia("(prefers-reduced-motion: reduce)");
const byId = (id) => document.getElementById(id);
export const state = (name) => (document.documentElement.dataset.state = name);

export class Studio {
  constructor(manifest, engine, formats) {
    Object.assign(this, { manifest, engine, formats });
    this.start = { ...START, ...manifest.start };
    this.sizes = manifest.sizes ?? SIZES;
    this.stage = new Stage(byId("holder"), byId("stage-template"), (text) => this.say(text));
    this.stage.onLoop = (playing) => byId("loop").setAttribute("aria-pressed", playing);
    this.strip = new Strip(byId("strip"), (motion) => this.show(motion));
    this.progress = new Progress({ section: byId("working"), bar: byId("bar"), doing: byId("doing") });
    this.photo = null;
    this.shown = null; // the motion on the stage
    this.nextSeed = this.start.seed;
    this.wind = this.start.wind; // of the next motion
    this.work = null; // AbortController of what is going on
    this.made = null; // {blob, of}: the loop that was rendered last, and what of
  }

  say(text) {
    if (byId("status").textContent !== text) byId("status").textContent = text;
  }

  trouble(message) {
    byId("trouble").textContent = message;
    byId("trouble").hidden = !message;
    if (message) byId("trouble").scrollIntoView({ block: "nearest" });
  }

  // Do one thing at a time: what comes later stops what is going on. Failures are told, cancelling is none. What goes on
  // in the background leaves the buttons as they are.
  async during(name, action, { background = false } = {}) {
    this.work?.abort();
    const work = Object.assign(new AbortController(), { background });
    this.work = work;
    this.trouble("");
    if (!background) state("working");
    this.arrange();
    work.done = this.attempt(name, action, work);
    await work.done;
    if (this.work !== work) return;
    this.work = null;
    this.progress.end();
    this.arrange();
    state(this.shown ? "shown" : "ready");
  }

  async attempt(name, action, work) {
    const told = (progress) => this.work === work && !work.signal.aborted && this.progress.tell(progress);
    try {
      await action({ told, signal: work.signal });
    } catch (error) {
      if (!error.cancelled && !work.signal.aborted) this.trouble(name ? `${name}: ${error.message}` : error.message);
    }
  }

  // A photo, its first motion, and the stage.
  async take(file) {
    await this.during(file.name || "photo", async (how) => {
      this.progress.begin(this.engine.stages());
      const photo = await this.engine.read(file, how);
      if (how.signal.aborted) return;
      this.forget();
      this.photo = photo;
      this.preview(photo);
      this.arrange();
      byId("engine").textContent = await this.engine.open(photo, how);
      await this.sample(how, photo);
    });
    if (this.engine.render && this.shown && !this.work) await this.render();
  }

  // The photo as it is, while nothing moves yet.
  preview({ bitmap }) {
    const canvas = byId("preview");
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
  }

  async sample(how, photo) {
    const motion = await this.engine.sample({ photo, seed: this.nextSeed, wind: this.wind }, how);
    if (this.photo !== photo) return;
    this.nextSeed += 1;
    this.strip.add(this.manifest, photo, motion);
    if (!this.shown || motion.wind !== this.shown.wind) this.show(motion);
    this.arrange();
    const mostly = this.stage.viewer.basis.strengths.every((strength) => strength < 0.3);
    if (mostly) this.say("The model finds hardly anything here that sways; a larger amplitude makes more of it.");
    else if (motion.warning) this.say(`${motion.warning}.`);
  }

  more() {
    return this.during("", async (how) => {
      for (let count = 0; count < AT_ONCE && !this.strip.full; count++) {
        this.progress.begin(["motion", "finish"]);
        await this.sample(how, this.photo);
      }
    });
  }

  again() {
    return this.during("", async (how) => {
      this.progress.begin(["motion", "finish"]);
      if (this.strip.full) this.strip.clear();
      this.nextSeed = this.shown.seed;
      await this.sample(how, this.photo);
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
    Object.assign(this, { photo: null, shown: null, made: null, nextSeed: this.start.seed });
  }

  // What is there to be seen and pressed.
  arrange() {
    const busy = this.work !== null && !this.work.background;
    byId("intake").hidden = this.photo !== null && (busy || this.shown !== null);
    byId("result").hidden = this.shown === null;
    byId("preview").hidden = this.photo === null || this.shown !== null;
    byId("more").disabled = busy || this.strip.full;
    byId("wind-note").hidden = !this.shown || this.wind === this.shown.wind;
    for (const id of ["again", "render", "save-video", "save-page", "save-motion"]) byId(id).disabled = busy;
  }

  another() {
    this.work?.abort();
    this.forget();
    this.trouble("");
    this.arrange();
    state("ready");
    byId("drop").focus();
  }

  // The loop as the engine renders it, shown in place of the drawn one.
  render() {
    return this.during("", (how) => this.rendered(how, "mp4"), { background: true });
  }

  async rendered(how, format) {
    const { photo, shown, stage, manifest } = this;
    const [of, size] = [stage.state, byId("size").value];
    const key = JSON.stringify([of, size, format]);
    if (this.made?.motion !== shown || this.made.key !== key) {
      this.progress.begin(["wait", "read", "frames"]);
      const motion = motionFile(manifest, photo, shown, stage.viewer.basis.free);
      const blob = await this.engine.render({ photo, motion, ...stage.settings, size, format }, how);
      if (this.shown !== shown) return blob;
      this.made = { blob, key, motion: shown };
    }
    if (format === "mp4") stage.showRendered(this.made.blob, of);
    return this.made.blob;
  }

  async save(kind) {
    const format = byId("format").value;
    if (kind === "video" && this.work?.background && format === "mp4") await this.work.done; // it makes just that
    await this.during("", async (how) => {
      const { manifest, photo, shown, stage } = this;
      const { free } = stage.viewer.basis;
      const stem = stemOf(photo);
      if (kind === "motion") this.keep(motionFile(manifest, photo, shown, free), `${stem}.safetensors`);
      if (kind === "page") {
        const parts = await (await fetch("viewer/page.json")).json();
        const loop = stage.viewer.covered ? stage.rendered.blob : null;
        const { amplitude } = stage.settings;
        this.keep(await pokePage(parts, { manifest, photo, motion: shown, free, amplitude, loop }), `${stem}.html`);
      }
      if (kind === "video") {
        const blob = await (this.engine.render ? this.rendered(how, format) : this.drawn(how, format));
        this.keep(blob, `${stem}.${blob.type.split("/")[1]}`);
      }
    });
  }

  // The loop as this page draws it. What moves on the page stands still meanwhile: a machine without a graphics card draws
  // either.
  async drawn({ told, signal }, format) {
    const { stage, strip } = this;
    const [paused, still] = [stage.viewer.paused, strip.still];
    this.progress.begin(["video"]);
    stage.setPaused(true);
    strip.still = true;
    try {
      const side = Number(byId("size").value);
      return await saveLoop(stage, this.manifest, this.photo, { format, side, told: (done, total) => {
        told({ stage: "video", done, total });
        signal.throwIfAborted();
      } });
    } finally {
      if (stage.viewer) stage.setPaused(paused);
      strip.still = still;
    }
  }

  keep(blob, name) {
    this.say(`Saved as ${download(blob, name)}.`);
  }
}
