// The modes of a photo under pointers and wind, going forward in time: ModalRig in models/dynamics/rig.py.
//
// A held point follows its pointer at every instant: the modes ring on by themselves, and to their coordinates the
// least q is added that puts the point where the pointer is. On release the sum and its velocity go over to the modes.
//
// The wind is the periodic force in whose steady state the photo moves as it was sampled, q_j = 2 a exp(i omega_j t). The
// oscillators hold what there is besides, which obeys the free equation, so wind costs no time steps. Where its
// strength changes, coordinates and velocities stay what they are.

class ModalRig {
  constructor(basis, damping) {
    this.basis = basis;
    this.damping = damping;
    this.time = 0;
    this.modes = new DampedOscillators(basis.omega);
    this.wind = new Float64Array(basis.count); // a, one a mode
    this.held = new Map(); // pointer -> {point, offset, velocity}
    this.shapes = [];
    this.origin = []; // where held points were, less their pointers' offsets
    this.setDamping(1);
  }

  setDamping(factor) {
    this.modes.setDamping(factor * this.damping.alpha, factor * this.damping.beta);
  }

  advance(seconds) {
    this.modes.advance(seconds);
    this.time += seconds;
  }

  setWind(strengths) {
    const [q, v] = this.unheld();
    this.wind = Float64Array.from(strengths);
    this.become(q, v);
  }

  // Coordinates and velocities of the wind's motion.
  blown() {
    const [q, v] = [complexZeros(this.basis.count), complexZeros(this.basis.count)];
    this.basis.omega.forEach((omega, j) => {
      const [cosine, sine] = [Math.cos(omega * this.time), Math.sin(omega * this.time)];
      const a = 2 * this.wind[j];
      [q.re[j], q.im[j]] = [a * cosine, a * sine];
      [v.re[j], v.im[j]] = [-a * omega * sine, a * omega * cosine];
    });
    return [q, v];
  }

  // Of the modes without what holds them.
  unheld() {
    const [q, v] = this.blown();
    return [sum(q, this.modes.q), sum(v, this.modes.v)];
  }

  // Let the modes have these coordinates and velocities, wind included.
  become(q, v) {
    const [windQ, windV] = this.blown();
    this.modes.q = sum(q, windQ, -1);
    this.modes.v = sum(v, windV, -1);
  }

  // Coordinates as they show now.
  coordinates() {
    return this.constrained(this.unheld()[0], add(this.origin, this.ofPointers("offset")));
  }

  velocities() {
    return this.constrained(this.unheld()[1], this.ofPointers("velocity"));
  }

  grab(pointer, point) {
    this.hold(() => this.held.set(pointer, { point, offset: [0, 0], velocity: [0, 0] }));
  }

  // The pointer's offset from where it took the point, and its velocity.
  move(pointer, offset, velocity = [0, 0]) {
    Object.assign(this.held.get(pointer), { offset, velocity });
  }

  letGo(pointer) {
    this.hold(() => this.held.delete(pointer));
  }

  hold(change) {
    this.become(this.coordinates(), this.velocities());
    change();
    this.refresh();
  }

  // Take hold of the points where they are now.
  refresh() {
    this.shapes = this.basis.shapesAt([...this.held.values()].map(({ point }) => point));
    const q = this.unheld()[0];
    this.origin = add(this.shapes.map((shape) => displaced(shape, q)), this.ofPointers("offset"), -1);
  }

  ofPointers(what) {
    return [...this.held.values()].flatMap((held) => held[what]);
  }

  // Values with the least change that brings the held points to their targets.
  constrained(values, targets) {
    if (!this.held.size) return values;
    const missing = this.shapes.map((shape, i) => targets[i] - displaced(shape, values));
    return sum(values, this.basis.pull(this.shapes, missing));
  }

  stop() {
    this.become(complexZeros(this.basis.count), complexZeros(this.basis.count));
    this.refresh();
  }

  // Nothing acts, and what is left moves no cell by more than `least`.
  atRest(least) {
    if (this.held.size || this.wind.some((a) => a !== 0)) return false;
    const { q, v, omega } = this.modes;
    let bound = 0;
    this.basis.strengths.forEach((strength, j) => {
      bound += strength * Math.hypot(q.re[j], q.im[j], v.re[j] / omega[j], v.im[j] / omega[j]);
    });
    return bound < least;
  }
}

const sum = (a, b, factor = 1) => ({
  re: a.re.map((value, j) => value + factor * b.re[j]),
  im: a.im.map((value, j) => value + factor * b.im[j]),
});
const add = (a, b, factor = 1) => a.map((value, i) => value + factor * b[i]);
