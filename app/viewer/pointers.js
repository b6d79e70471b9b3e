// Mouse, touch, pen and keys on the canvas: they pull points of the photo, or paint which parts stay and which move.

const SNAP = { mouse: 0.02, pen: 0.02, touch: 0.05 }; // of the longer side: how far from a pointer a point is taken
const RECENT = 60; // milliseconds: the pointer's speed is taken over these
const KEY_STEP = 0.02; // of the longer side, a key press
const KEYBOARD = "keyboard"; // among the pointers
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

class Pointers {
  constructor(viewer, canvas) {
    this.viewer = viewer;
    this.canvas = canvas;
    this.tool = "pull"; // or stays, moves
    this.brush = 0.06; // radius, of the longer side
    this.pulls = new Map(); // pointer -> {start, at, trail: [{time, offset}], longest}
    this.painting = new Map(); // pointer -> where it painted last
    this.hover = null; // where the brush is
    this.cursor = mostMovable(viewer.basis);
    this.cursorShown = false;
    this.listen();
  }

  listen() {
    const on = (type, handler) => this.canvas.addEventListener(type, handler);
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.moved(event));
    for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) on(type, (event) => this.up(event));
    on("pointerleave", () => this.setHover(null));
    on("keydown", (event) => this.key(event));
    on("focus", () => this.setCursor(this.canvas.matches(":focus-visible")));
    on("blur", () => {
      this.release(KEYBOARD, performance.now());
      this.setCursor(false);
    });
  }

  // Position in cells of the grid, of a place on the screen.
  toCells({ clientX, clientY }) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const { basis } = this.viewer;
    return [((clientX - left) / width) * basis.width - 0.5, ((clientY - top) / height) * basis.height - 0.5];
  }

  down(event) {
    if (event.button !== 0) return;
    this.setCursor(false);
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.toCells(event);
    if (this.tool !== "pull") this.paint(event.pointerId, at);
    else this.take(event.pointerId, at, SNAP[event.pointerType] ?? SNAP.mouse, event.timeStamp);
  }

  moved(event) {
    const at = this.toCells(event);
    this.setHover(this.tool === "pull" ? null : at);
    if (this.painting.has(event.pointerId)) this.paint(event.pointerId, at);
    if (this.pulls.has(event.pointerId)) this.pull(event.pointerId, at, event.timeStamp);
  }

  up(event) {
    this.painting.delete(event.pointerId);
    this.release(event.pointerId, event.timeStamp);
  }

  // Take hold of the point of the photo that is seen at a place, or of one near by that follows better.
  take(pointer, at, snap, time) {
    if (this.viewer.loopTime !== null) return false;
    const { basis, rig } = this.viewer;
    const { point, reach } = movableNear(basis, this.viewer.under(at), snap * Math.max(basis.width, basis.height));
    if (reach < 0.2) {
      this.viewer.tell("Nothing moves here in the sampled motion. Pull where the picture sways.");
      return false;
    }
    rig.grab(pointer, point);
    const trail = [{ time, offset: [0, 0] }];
    this.pulls.set(pointer, { point, start: at, at, target: [0, 0], trail, longest: basis.longestPull(point) });
    this.viewer.tell("");
    this.viewer.wake();
    return true;
  }

  pull(pointer, at, time) {
    const pull = this.pulls.get(pointer);
    pull.at = at;
    const offset = shortened([at[0] - pull.start[0], at[1] - pull.start[1]], pull.longest);
    this.viewer.follow(pointer, offset);
    pull.trail = pull.trail.filter((sample) => time - sample.time < RECENT);
    pull.trail.push({ time, offset });
    this.viewer.wake();
  }

  release(pointer, time) {
    const pull = this.pulls.get(pointer);
    if (!pull) return;
    this.pulls.delete(pointer);
    this.viewer.letGo(pointer, velocityOf(pull.trail, time));
  }

  releaseAll() {
    for (const pointer of [...this.pulls.keys()]) this.release(pointer, Infinity);
  }

  // Let the photo under a brush stay or move, from where the pointer painted last.
  paint(pointer, at) {
    const from = this.painting.get(pointer) ?? at;
    this.painting.set(pointer, at);
    const { basis } = this.viewer;
    const radius = this.brush * Math.max(basis.width, basis.height);
    const steps = Math.max(1, Math.ceil(Math.hypot(at[0] - from[0], at[1] - from[1]) / (radius / 3)));
    this.viewer.change(() => {
      for (let step = 1; step <= steps; step++) {
        const share = step / steps;
        const place = [from[0] + share * (at[0] - from[0]), from[1] + share * (at[1] - from[1])];
        dab(basis, this.viewer.under(place), radius, this.tool === "stays");
      }
    });
    this.viewer.freedomChanged();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    if (arrow) this.arrow(arrow);
    else if (event.key === " " || event.key === "Enter") this.act(event.repeat);
    else if (event.key === "Escape") this.release(KEYBOARD, performance.now());
    else return;
    event.preventDefault();
    this.setCursor(true);
  }

  arrow([x, y]) {
    const { basis } = this.viewer;
    const step = KEY_STEP * Math.max(basis.width, basis.height);
    const pull = this.pulls.get(KEYBOARD);
    if (pull) {
      pull.target = shortened([pull.target[0] + step * x, pull.target[1] + step * y], pull.longest);
      this.viewer.wake();
      return;
    }
    this.cursor = [clamp(this.cursor[0] + step * x, basis.width), clamp(this.cursor[1] + step * y, basis.height)];
  }

  act(repeated) {
    if (this.tool !== "pull") {
      this.painting.delete(KEYBOARD);
      this.paint(KEYBOARD, this.cursor);
    } else if (this.pulls.has(KEYBOARD)) {
      if (!repeated) this.release(KEYBOARD, performance.now());
    } else if (this.take(KEYBOARD, this.cursor, SNAP.touch, performance.now())) {
      this.viewer.tell("Held. Arrow keys pull, Space lets go.");
    }
  }

  // Keys pull in steps; the point goes there smoothly.
  ease(seconds) {
    const pull = this.pulls.get(KEYBOARD);
    if (!pull) return;
    const share = -Math.expm1(-seconds / 0.08);
    const [x, y] = [pull.at[0] - pull.start[0], pull.at[1] - pull.start[1]];
    const offset = [x + share * (pull.target[0] - x), y + share * (pull.target[1] - y)];
    pull.at = [pull.start[0] + offset[0], pull.start[1] + offset[1]];
    this.viewer.follow(KEYBOARD, offset);
  }

  setHover(at) {
    if (this.hover === at) return;
    this.hover = at;
    this.viewer.wake();
  }

  setCursor(shown) {
    this.cursorShown = shown;
    this.viewer.wake();
  }
}

const clamp = (value, length) => Math.min(Math.max(value, 0), length - 1);

function shortened([x, y], longest) {
  const factor = Math.min(1, longest / (Math.hypot(x, y) || 1));
  return [factor * x, factor * y];
}

// Cells a second over the last moments; nothing if the pointer has rested.
function velocityOf(trail, time) {
  const [first, last] = [trail[0], trail[trail.length - 1]];
  if (time - last.time > RECENT || last.time <= first.time) return [0, 0];
  const seconds = (last.time - first.time) / 1000;
  return [(last.offset[0] - first.offset[0]) / seconds, (last.offset[1] - first.offset[1]) / seconds];
}

// The point itself where it follows well; else one within the radius that follows better, near ones preferred.
function movableNear(basis, [x, y], radius) {
  const reachAt = (column, row) => basis.reach(row * basis.width + column);
  const [column, row] = [clamp(Math.round(x), basis.width), clamp(Math.round(y), basis.height)];
  let best = { point: [clamp(x, basis.width), clamp(y, basis.height)], reach: reachAt(column, row) };
  if (best.reach > 0.8) return best;
  let bestScore = best.reach;
  for (let r = Math.max(0, Math.ceil(row - radius)); r <= Math.min(basis.height - 1, row + radius); r++) {
    for (let c = Math.max(0, Math.ceil(column - radius)); c <= Math.min(basis.width - 1, column + radius); c++) {
      const reach = reachAt(c, r);
      const score = reach - (0.3 * Math.hypot(c - column, r - row)) / radius;
      if (score > bestScore && Math.hypot(c - column, r - row) <= radius) {
        [best, bestScore] = [{ point: [c, r], reach }, score];
      }
    }
  }
  return best;
}

function mostMovable(basis) {
  let best = 0;
  for (let p = 1; p < basis.cells; p++) if (basis.reach(p) > basis.reach(best)) best = p;
  return [best % basis.width, Math.floor(best / basis.width)];
}

// One touch of the brush, soft towards its border.
function dab(basis, [x, y], radius, stays) {
  for (let row = Math.max(0, Math.ceil(y - radius)); row <= Math.min(basis.height - 1, y + radius); row++) {
    for (let column = Math.max(0, Math.ceil(x - radius)); column <= Math.min(basis.width - 1, x + radius); column++) {
      const cover = Math.min(1, 2 * (1 - Math.hypot(column - x, row - y) / radius));
      if (cover <= 0) continue;
      const p = row * basis.width + column;
      basis.free[p] = stays ? Math.min(basis.free[p], 1 - cover) : Math.max(basis.free[p], cover);
    }
  }
}
