// Time goes on, and the photo is drawn.

const REST = 0.01; // cells: motion smaller than that is none
const LARGEST_SIDE = 2560; // pixels of the canvas
const SLOW = 0.028; // seconds a frame: after
const PATIENCE = 0.6; // seconds of such frames the mesh gets coarser
const COARSEST = 4; // cells from vertex to vertex
const ENLARGED = 0.4; // of the largest displacement: how far a mode seen alone swings

class Viewer {
  constructor(header, values, canvas, photo) {
    this.header = header;
    this.canvas = canvas;
    this.photo = photo;
    this.settings = { amplitude: 1, speed: 1, damping: 1, wind: 0 };
    this.paused = false;
    this.covered = false; // by the rendered loop
    this.stillShown = false;
    this.shown = { q: complexZeros(header.modes.scales.length), factor: 1 }; // what was drawn last
    this.loopTime = null; // seconds where this page's own warp plays the loop
    this.basis = new ModalBasis(header, values);
    this.rig = new ModalRig(this.basis, header.damping);
    this.warp = new Warp(canvas, photo, this.basis);
    this.overlay = new Overlay(this);
    this.pointers = new Pointers(this, canvas);
    this.tell = () => {};
    this.request = null;
    this.lastTime = null;
    this.slowTime = 0;
    this.keepContext();
  }

  // Graphics drivers may take everything away, and give it back later.
  keepContext() {
    this.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.warp = new Warp(this.canvas, this.photo, this.basis);
      this.wake();
    });
  }

  set(name, value) {
    this.settings[name] = value;
    if (name === "damping") this.rig.setDamping(value);
    if (name === "wind") this.blow();
    this.wake();
  }

  // Wind of strength 1 is the sampled motion; of a mode seen alone, enlarged.
  blow() {
    const { mode, count } = this.basis;
    const gain = this.settings.wind * this.enlargement();
    this.rig.setWind(Array.from({ length: count }, (_, j) => (mode === null || mode === j ? gain : 0)));
  }

  enlargement() {
    const { basis } = this;
    if (basis.mode === null) return 1;
    const largest = [0, 1].map((phase) => {
      const q = complexZeros(basis.count);
      (phase ? q.im : q.re)[basis.mode] = 2;
      return largestLength(basis.displacement(q));
    });
    return (ENLARGED * basis.limit) / (Math.max(...largest) || 1);
  }

  showMode(mode) {
    this.pointers.releaseAll();
    this.change(() => this.basis.show(mode));
    this.blow();
    this.wake();
  }

  // Change the basis while points may be held.
  change(action) {
    this.rig.hold(action);
  }

  freedomChanged() {
    this.warp.putCells();
    this.wake();
  }

  // Let everything stay, 0, or move, 1.
  freeAll(value) {
    this.change(() => this.basis.free.fill(value));
    this.freedomChanged();
  }

  // A held point follows its pointer by this many cells on the screen.
  follow(pointer, [x, y]) {
    const factor = 1 / this.settings.amplitude;
    this.rig.move(pointer, [factor * x, factor * y]);
  }

  letGo(pointer, velocity) {
    const held = this.rig.held.get(pointer);
    const factor = 1 / (this.settings.amplitude * this.settings.speed);
    const flung = velocity.map((value) => factor * value);
    this.rig.move(pointer, held.offset, this.bearable(held.point, flung));
    this.rig.letGo(pointer);
    this.wake();
  }

  // A velocity that carries no cell beyond the limit.
  bearable(point, velocity) {
    const { re, im } = this.basis.pull(this.basis.shapesAt([point]), velocity);
    const turn = (part) => part.map((value, j) => value / this.basis.omega[j]);
    const largest = this.settings.amplitude * largestLength(this.basis.displacement({ re: turn(re), im: turn(im) }));
    const factor = Math.min(1, this.basis.limit / (largest || 1));
    return velocity.map((value) => factor * value);
  }

  toRest() {
    this.pointers.releaseAll();
    this.rig.stop();
    this.wake();
  }

  // Point of the photo that is seen at a place.
  under(place) {
    let point = place;
    for (let k = 0; k < 12; k++) {
      const [x, y] = this.over(point);
      point = [point[0] + (place[0] - x) / 2, point[1] + (place[1] - y) / 2];
    }
    return point;
  }

  // Where a point of the photo is seen.
  over(point) {
    const { q, factor } = this.shown;
    const [x, y] = this.basis.displacementAt(point, q);
    return [point[0] + factor * x, point[1] + factor * y];
  }

  // Displacements to draw: amplitude and, where they would pass the limit, one factor on all of them.
  displace() {
    const q = this.loopTime === null ? this.rig.coordinates() : this.loopCoordinates();
    const [dx, dy] = this.basis.displacement(q);
    const largest = this.settings.amplitude * largestLength([dx, dy]);
    const factor = this.settings.amplitude * Math.min(1, this.basis.limit / (largest || 1));
    this.shown = { q, factor };
    return [dx.map((value) => factor * value), dy.map((value) => factor * value)];
  }

  // The sampled loop, which begins with the photo: q_j = 2 (exp(i omega_j t) - 1).
  loopCoordinates() {
    const angles = this.basis.omega.map((omega) => omega * this.loopTime);
    return { re: angles.map((angle) => 2 * (Math.cos(angle) - 1)), im: angles.map((angle) => 2 * Math.sin(angle)) };
  }

  advance(seconds) {
    const passed = seconds * this.settings.speed;
    this.pointers.ease(seconds);
    this.rig.advance(passed);
    if (this.loopTime !== null) this.loopTime = (this.loopTime + passed) % this.basis.period;
    if (this.rig.atRest(REST)) this.rig.stop();
  }

  draw() {
    const [dx, dy] = this.displace();
    this.warp.draw(dx, dy, this.stillShown);
    this.overlay.draw();
  }

  // Something changes from frame to frame.
  moving() {
    return !this.paused && !this.covered && !(this.loopTime === null && this.rig.atRest(REST));
  }

  frame(now) {
    this.request = null;
    const seconds = this.lastTime === null ? 0 : Math.max(0, now - this.lastTime) / 1000;
    if (!this.paused) this.advance(seconds);
    this.draw();
    this.lightenAfter(seconds);
    this.lastTime = this.moving() ? now : null;
    if (this.moving()) this.wake();
  }

  // Where frames keep coming late, as without a graphics card, the mesh gets coarser; one late frame is a pause.
  lightenAfter(seconds) {
    this.slowTime = seconds > SLOW ? this.slowTime + Math.min(seconds, PATIENCE / 3) : 0;
    if (this.slowTime < PATIENCE || this.warp.step >= COARSEST) return;
    this.warp.putMesh(2 * this.warp.step);
    this.slowTime = 0;
  }

  wake() {
    this.request ??= requestAnimationFrame((now) => this.frame(now));
  }

  resize(width, height) {
    const scale = Math.min(1, LARGEST_SIDE / Math.max(width, height, 1));
    this.canvas.width = Math.max(1, Math.round(width * scale));
    this.canvas.height = Math.max(1, Math.round(height * scale));
    this.wake();
  }
}

// Rings and lines over the photo; not part of what is recorded.
class Overlay {
  constructor(viewer) {
    this.viewer = viewer;
    this.root = document.getElementById("overlay");
    this.brush = this.root.querySelector(".brush");
    this.cursor = this.root.querySelector(".cursor");
    this.sample = this.root.querySelector(".pull");
    this.sample.remove();
  }

  draw() {
    const { pointers } = this.viewer;
    const pulls = [...pointers.pulls.values()];
    const drawn = [...this.root.querySelectorAll(".pull")];
    drawn.slice(pulls.length).forEach((element) => element.remove());
    pulls.forEach((pull, k) => this.drawPull(drawn[k] ?? this.root.appendChild(this.sample.cloneNode(true)), pull));
    this.drawBrush(pointers);
    this.place(this.cursor, pointers.cursorShown && !pointers.pulls.has(KEYBOARD) ? pointers.cursor : null);
  }

  drawPull(element, { point, at, start }) {
    const held = this.viewer.over(point);
    this.place(element.querySelector("circle"), held);
    const [[x1, y1], [x2, y2]] = [held, [at[0] + point[0] - start[0], at[1] + point[1] - start[1]]].map((p) => this.pixels(p));
    for (const [name, value] of Object.entries({ x1, y1, x2, y2 })) element.querySelector("line").setAttribute(name, value);
  }

  drawBrush({ tool, brush, hover, cursor, cursorShown }) {
    const { basis } = this.viewer;
    const at = tool === "pull" ? null : hover ?? (cursorShown ? cursor : null);
    this.place(this.brush, at);
    const radius = (brush * Math.max(basis.width, basis.height)) / basis.width;
    this.brush.setAttribute("r", radius * this.root.clientWidth);
  }

  place(element, at) {
    element.toggleAttribute("hidden", at === null);
    if (at === null) return;
    const [x, y] = this.pixels(at);
    element.setAttribute("cx", x);
    element.setAttribute("cy", y);
  }

  pixels([x, y]) {
    const { basis } = this.viewer;
    return [((x + 0.5) / basis.width) * this.root.clientWidth, ((y + 0.5) / basis.height) * this.root.clientHeight];
  }
}

function watchSize(viewer) {
  const observer = new ResizeObserver(() => {
    const { width, height } = viewer.canvas.getBoundingClientRect();
    viewer.resize(width * devicePixelRatio, height * devicePixelRatio);
  });
  try {
    observer.observe(viewer.canvas, { box: "device-pixel-content-box" }); // also when the page is zoomed
  } catch {
    observer.observe(viewer.canvas);
  }
}
