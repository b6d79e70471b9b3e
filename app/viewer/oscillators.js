// Damped oscillators with complex coordinates, advanced exactly by any time step: models/dynamics/oscillators.py.
// A complex vector is {re, im} of two Float64Array.

const complexZeros = (length) => ({ re: new Float64Array(length), im: new Float64Array(length) });

// The linear map over one time step of one mode: q1 = qq q0 + qv v0, v1 = vq q0 + vv v0.
function transition(seconds, omega, gamma) {
  const a = gamma / 2;
  const square = (omega - a) * (omega + a);
  const r = Math.sqrt(Math.abs(square));
  if (square < 0) return overDamped(seconds, omega, a, r);
  const decay = Math.exp(-a * seconds);
  const swing = r * seconds;
  const qv = decay * seconds * (swing === 0 ? 1 : Math.sin(swing) / swing);
  const cosine = decay * Math.cos(swing);
  return { qq: cosine + a * qv, qv, vq: -omega * omega * qv, vv: cosine - a * qv };
}

// Written with the slow rate omega^2 / (a + r), so that nothing overflows or cancels.
function overDamped(seconds, omega, a, r) {
  const slow = (omega * omega) / (a + r);
  const slowDecay = Math.exp(-slow * seconds);
  const qv = (slowDecay * -Math.expm1(-2 * r * seconds)) / (2 * r);
  const fastDecay = slowDecay * Math.exp(-2 * r * seconds);
  return { qq: slowDecay + slow * qv, qv, vq: -omega * omega * qv, vv: fastDecay - slow * qv };
}

class DampedOscillators {
  constructor(omega) {
    this.omega = omega; // rad/s
    this.q = complexZeros(omega.length);
    this.v = complexZeros(omega.length); // 1/s
    this.setDamping(0, 0);
  }

  // Rayleigh damping gamma_j = alpha + beta omega_j^2.
  setDamping(alpha, beta) {
    this.gamma = this.omega.map((omega) => alpha + beta * omega * omega);
  }

  advance(seconds) {
    for (let j = 0; j < this.omega.length; j++) {
      const { qq, qv, vq, vv } = transition(seconds, this.omega[j], this.gamma[j]);
      for (const part of ["re", "im"]) {
        const q = this.q[part][j];
        const v = this.v[part][j];
        this.q[part][j] = qq * q + qv * v;
        this.v[part][j] = vq * q + vv * v;
      }
    }
  }
}
