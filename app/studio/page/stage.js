// The photo in motion: drawn, poked and painted on by the code of the page to poke, whose names are global here.
/* global Viewer, complexZeros, setPaused, watchSize */

import { fromHalf } from "./engine/motion.js";

// A motion as it is kept: halves, Uint16Array [K][4][H][W]; size [W, H]; seed; wind.
export function modesOf(motion) {
  const values = new Float32Array(motion.halves.length - 4 * motion.size[0] * motion.size[1]);
  const start = motion.halves.length - values.length; // after the mean
  for (let p = 0; p < values.length; p++) values[p] = fromHalf(motion.halves[start + p]);
  return values;
}

// What the drawing code is told of modes [M][4][H][W].
export function headerOf(manifest, photo, { values, size }) {
  const { num_frames, fps } = manifest.model;
  const length = 4 * size[0] * size[1];
  const scales = Array.from({ length: values.length / length }, (_, j) => {
    let largest = 0;
    for (let p = j * length; p < (j + 1) * length; p++) largest = Math.max(largest, Math.abs(values[p]));
    return largest;
  });
  return {
    ...manifest.physics,
    title: photo.name.replace(/\.[^.]*$/, "") || "photo",
    photo: { width: photo.size[0], height: photo.size[1] },
    modes: { width: size[0], height: size[1], period: num_frames / fps, scales },
    loop: { included: false, note: "The rendered loop is not in this page." },
  };
}

export class Stage {
  constructor(holder, template, tell) {
    Object.assign(this, { holder, template, tell, viewer: null });
    this.settings = { amplitude: 1, speed: 1 };
    this.tool = "pull";
    this.brush = 0.06;
    this.onLoop = () => {};
    this.rendered = null; // {url, blob, of}: a video of the loop, and the state of the stage that it shows
  }

  // What the loop depends on besides its motion.
  get state() {
    const { free } = this.viewer.basis;
    return JSON.stringify([this.settings, free.every((share) => share === 1) ? null : [...free]]);
  }

  // Show a rendered loop over the drawn one, for as long as it is of the same state.
  showRendered(blob, of) {
    this.dropRendered();
    this.rendered = { url: URL.createObjectURL(blob), blob, of };
    this.video.src = this.rendered.url;
    this.playLoop();
  }

  dropRendered() {
    if (this.rendered) URL.revokeObjectURL(this.rendered.url);
    this.rendered = null;
  }

  get video() {
    return this.holder.querySelector("video");
  }

  // Whether the rendered loop is to be seen.
  cover() {
    const { viewer, video, rendered } = this;
    const plays = viewer.loopTime !== null && !viewer.stillShown;
    viewer.covered = Boolean(rendered) && plays && rendered.of === this.state;
    video.hidden = !viewer.covered;
    if (viewer.covered && !viewer.paused) video.play().catch(() => {}); // where that is forbidden it stands still
    else video.pause();
    viewer.wake();
  }

  setPaused(paused) {
    setPaused(this.viewer, paused);
    this.cover();
  }

  show(manifest, photo, motion, { paused }) {
    const free = this.viewer && this.photo === photo ? this.viewer.basis.free : null;
    this.clear();
    this.photo = photo;
    this.holder.append(this.template.content.cloneNode(true));
    const element = this.holder.firstElementChild;
    element.style.setProperty("--ratio", photo.size[0] / photo.size[1]);
    const canvas = element.querySelector("canvas");
    const values = modesOf(motion);
    this.viewer = new Viewer(headerOf(manifest, photo, { values, size: motion.size }), values, canvas, photo.bitmap);
    this.viewer.tell = this.tell;
    if (free?.length === this.viewer.basis.cells) this.viewer.basis.free.set(free);
    // Before the viewer's own listeners: what is pulled has to be let out of the loop first.
    for (const type of ["pointerdown", "keydown"]) element.addEventListener(type, (event) => this.before(event), true);
    for (const [name, value] of Object.entries(this.settings)) this.viewer.set(name, value);
    this.setTool(this.tool);
    this.setBrush(this.brush);
    this.viewer.freedomChanged();
    watchSize(this.viewer);
    this.playLoop();
    this.setPaused(paused);
  }

  before(event) {
    const acts = event.type === "pointerdown" || event.key === " " || event.key === "Enter";
    if (!acts || !this.viewer) return;
    if (this.tool === "pull") this.leaveLoop();
    // Where nothing stays yet, painting what moves means that the rest does not.
    if (this.tool === "moves" && this.viewer.basis.free.every((free) => free === 1)) this.viewer.freeAll(0);
  }

  playLoop() {
    this.viewer.pointers.releaseAll();
    this.viewer.rig.stop();
    this.viewer.loopTime = 0;
    this.video.currentTime = 0;
    this.cover();
    this.onLoop(true);
  }

  // The sampled motion goes on as a wind, under which the photo can be pulled. It swings about the photo, the loop begins
  // with it: the difference, -2 for each mode, dies out as what is let go does.
  leaveLoop() {
    const { viewer } = this;
    if (viewer.loopTime === null) return;
    const { rig, basis } = viewer;
    if (viewer.covered) viewer.loopTime = (this.video.currentTime * this.settings.speed) % viewer.basis.period;
    rig.time = viewer.loopTime;
    rig.wind = new Float64Array(basis.count).fill(1);
    rig.modes.q = { re: new Float64Array(basis.count).fill(-2), im: new Float64Array(basis.count) };
    rig.modes.v = complexZeros(basis.count);
    viewer.loopTime = null;
    this.cover();
    this.onLoop(false);
  }

  set(name, value) {
    this.settings[name] = value;
    if (!this.viewer) return;
    this.viewer.set(name, value);
    this.cover();
  }

  setTool(tool) {
    this.tool = tool;
    if (!this.viewer) return;
    this.viewer.pointers.releaseAll();
    this.viewer.pointers.tool = tool;
    this.viewer.stillShown = tool !== "pull";
    this.viewer.canvas.dataset.tool = tool;
    this.cover();
  }

  setBrush(radius) {
    this.brush = radius;
    if (this.viewer) this.viewer.pointers.brush = radius;
  }

  // The displacements of a moment of the loop, in cells, whatever is shown now.
  displacedAt(seconds) {
    const { viewer } = this;
    const now = viewer.loopTime;
    viewer.loopTime = seconds;
    try {
      return viewer.displace();
    } finally {
      viewer.loopTime = now;
    }
  }

  clear() {
    this.dropRendered();
    if (!this.viewer) return;
    const { viewer } = this;
    this.viewer = null;
    viewer.paused = true;
    viewer.wake = () => {};
    loseContext(viewer.warp);
    this.holder.replaceChildren();
  }
}

// Browsers give a page few graphics contexts, and keep those that nobody needs for long.
export function loseContext({ gl }) {
  gl.getExtension("WEBGL_lose_context")?.loseContext();
}
