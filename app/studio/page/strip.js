// The motions of a photo side by side, small and moving, to choose one.
/* global ModalBasis, Warp */

import { headerOf, loseContext, modesOf } from "./stage.js";

export const MOST_MOTIONS = 6; // graphics contexts are few
const CELLS = 64; // of the longer side of the small grid
const HEIGHT = 120; // pixels of a small canvas
const INTERVAL = 1000 / 15; // milliseconds between drawings

export class Strip {
  constructor(element, choose) {
    Object.assign(this, { element, choose, shown: [], lastTime: 0, still: false });
    requestAnimationFrame((now) => this.frame(now));
  }

  add(manifest, photo, motion) {
    const label = `Motion ${motion.seed}${motion.wind === 1 ? "" : `, wind ${motion.wind}`}`;
    const button = document.createElement("button");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [Math.round((HEIGHT * photo.size[0]) / photo.size[1]), HEIGHT];
    button.type = "button";
    button.append(canvas, label);
    button.addEventListener("click", () => this.choose(motion));
    this.element.append(button);
    const basis = smallBasis(manifest, photo, motion);
    const entry = { motion, button, basis, warp: new Warp(canvas, photo.bitmap, basis) };
    this.shown.push(entry);
    this.draw(entry, 0);
  }

  press(motion) {
    for (const entry of this.shown) entry.button.setAttribute("aria-pressed", entry.motion === motion);
  }

  get full() {
    return this.shown.length >= MOST_MOTIONS;
  }

  clear() {
    for (const { warp } of this.shown) loseContext(warp);
    this.shown = [];
    this.element.replaceChildren();
  }

  frame(now) {
    requestAnimationFrame((next) => this.frame(next));
    if (this.still || !this.shown.length || now - this.lastTime < INTERVAL) return;
    this.lastTime = now;
    for (const entry of this.shown) this.draw(entry, now / 1000);
  }

  // As the loop is drawn: q_j = 2 (exp(i omega_j t) - 1).
  draw({ basis, warp }, seconds) {
    const angles = basis.omega.map((omega) => omega * seconds);
    const q = { re: angles.map((angle) => 2 * (Math.cos(angle) - 1)), im: angles.map((angle) => 2 * Math.sin(angle)) };
    warp.draw(...basis.displacement(q), false);
  }
}

// Every so-manieth cell of the motion, in its own, larger cells.
function smallBasis(manifest, photo, motion) {
  const [width, height] = motion.size;
  const step = Math.max(1, Math.ceil(Math.max(width, height) / CELLS));
  const size = [Math.ceil(width / step), Math.ceil(height / step)];
  const modes = modesOf(motion);
  const planes = modes.length / (width * height);
  const values = new Float32Array(planes * size[0] * size[1]);
  for (let plane = 0, at = 0; plane < planes; plane++) {
    for (let row = 0; row < size[1]; row++) {
      for (let c = 0; c < size[0]; c++) values[at++] = modes[(plane * height + row * step) * width + c * step] / step;
    }
  }
  return new ModalBasis(headerOf(manifest, photo, { values, size }), values);
}
