// The modes of a photo and how far it bends if one of its points is pulled: models/dynamics/basis.py.
// Points and displacements are in cells of the modes' own grid; the centre of the first cell is (0, 0).

class ModalBasis {
  // values: Float32Array [M][4][H][W], channels Re x, Re y, Im x, Im y.
  constructor(header, values) {
    const { width, height, period, scales } = header.modes;
    this.width = width;
    this.height = height;
    this.period = period; // seconds
    this.values = values;
    this.count = scales.length;
    this.cells = width * height;
    this.strengths = scales.map((scale) => 2 * scale); // no cell's |S_j| is larger
    this.omega = Float64Array.from({ length: this.count }, (_, j) => (2 * Math.PI * (j + 1)) / period);
    this.limit = header.largest_displacement * Math.max(width, height);
    this.softnessShare = header.softness;
    this.free = new Float32Array(this.cells).fill(1); // 1: moves, 0: stays
    this.show(null);
  }

  // Use one mode alone, or all of them.
  show(mode) {
    this.mode = mode;
    this.weights = Float64Array.from({ length: this.count }, (_, j) => (mode === null || mode === j ? 1 : 0));
    this.compliance = this.complianceMaps();
    this.softness = this.softnessShare * this.strongCompliance();
  }

  complianceMaps() {
    const maps = { xx: new Float64Array(this.cells), xy: new Float64Array(this.cells), yy: new Float64Array(this.cells) };
    for (let j = 0; j < this.count; j++) {
      if (!this.weights[j]) continue;
      const [x, y, ix, iy] = this.channels(j);
      for (let p = 0; p < this.cells; p++) {
        maps.xx[p] += x[p] * x[p] + ix[p] * ix[p];
        maps.xy[p] += x[p] * y[p] + ix[p] * iy[p];
        maps.yy[p] += y[p] * y[p] + iy[p] * iy[p];
      }
    }
    return maps;
  }

  // The 99th percentile of the trace, or where that is nothing its maximum.
  strongCompliance() {
    const trace = this.compliance.xx.map((xx, p) => xx + this.compliance.yy[p]).sort();
    const at = 0.99 * (trace.length - 1);
    const low = trace[Math.floor(at)];
    return low + (at % 1) * (trace[Math.ceil(at)] - low) || trace[trace.length - 1] || 1;
  }

  channels(mode) {
    const start = 4 * mode * this.cells;
    return [0, 1, 2, 3].map((c) => this.values.subarray(start + c * this.cells, start + (c + 1) * this.cells));
  }

  // The four cells around a point, clamped to the picture, with bilinear weights that leave out what stays.
  corners([x, y]) {
    x = Math.min(Math.max(x, 0), this.width - 1);
    y = Math.min(Math.max(y, 0), this.height - 1);
    const left = Math.min(Math.floor(x), this.width - 2);
    const top = Math.min(Math.floor(y), this.height - 2);
    const [u, v] = [x - left, y - top];
    const first = top * this.width + left;
    const around = [first, first + 1, first + this.width, first + this.width + 1];
    const weights = [(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v];
    return around.map((p, k) => ({ p, weight: weights[k] * this.free[p] }));
  }

  // S_j at points: two rows (x, y) a point.
  shapesAt(points) {
    return points.flatMap((point) => {
      const [x, y] = [complexZeros(this.count), complexZeros(this.count)];
      for (const { p, weight } of this.corners(point)) {
        for (let j = 0; j < this.count; j++) {
          const at = 4 * j * this.cells + p;
          const share = weight * this.weights[j];
          x.re[j] += share * this.values[at];
          y.re[j] += share * this.values[at + this.cells];
          x.im[j] += share * this.values[at + 2 * this.cells];
          y.im[j] += share * this.values[at + 3 * this.cells];
        }
      }
      return [x, y];
    });
  }

  // Least coordinates that displace the points of these shapes: q = S^H f, f = (C + epsilon)^-1 d.
  pull(shapes, displacements) {
    const matrix = shapes.map((a, i) => shapes.map((b, k) => realProduct(a, b) + (i === k ? this.softness : 0)));
    const force = solve(matrix, displacements);
    const q = complexZeros(this.count);
    shapes.forEach((shape, i) => {
      for (let j = 0; j < this.count; j++) {
        q.re[j] += force[i] * shape.re[j];
        q.im[j] -= force[i] * shape.im[j];
      }
    });
    return q;
  }

  // Displacement sum_j Re[S_j q_j] of a point.
  displacementAt(point, q) {
    return this.shapesAt([point]).map((shape) => displaced(shape, q));
  }

  // The same of every cell: [dx, dy].
  displacement(q) {
    const [dx, dy] = [new Float32Array(this.cells), new Float32Array(this.cells)];
    for (let j = 0; j < this.count; j++) {
      const [re, im] = [this.weights[j] * q.re[j], this.weights[j] * q.im[j]];
      if (re === 0 && im === 0) continue;
      const [x, y, ix, iy] = this.channels(j);
      for (let p = 0; p < this.cells; p++) {
        dx[p] += x[p] * re - ix[p] * im;
        dy[p] += y[p] * re - iy[p] * im;
      }
    }
    for (let p = 0; p < this.cells; p++) {
      dx[p] *= this.free[p];
      dy[p] *= this.free[p];
    }
    return [dx, dy];
  }

  // How far this point may be pulled in any direction before some point passes the limit: by the larger singular
  // value of each cell's 2x2 matrix of pulls along x and y.
  longestPull(point) {
    const shapes = this.shapesAt([point]);
    const [xx, yx] = this.displacement(this.pull(shapes, [1, 0]));
    const [xy, yy] = this.displacement(this.pull(shapes, [0, 1]));
    let square = 0;
    for (let p = 0; p < this.cells; p++) {
      const first = xx[p] ** 2 + yx[p] ** 2;
      const mixed = xx[p] * xy[p] + yx[p] * yy[p];
      const second = xy[p] ** 2 + yy[p] ** 2;
      square = Math.max(square, (first + second + Math.hypot(first - second, 2 * mixed)) / 2);
    }
    return this.limit / Math.max(Math.sqrt(square), 1e-9);
  }

  // Share of a pull in the best direction that a cell follows, 0 to 1.
  reach(p) {
    const { xx, xy, yy } = this.compliance;
    const largest = (xx[p] + yy[p] + Math.hypot(xx[p] - yy[p], 2 * xy[p])) / 2;
    return this.free[p] ? largest / (largest + this.softness) : 0;
  }
}

const realProduct = (a, b) => a.re.reduce((sum, re, j) => sum + re * b.re[j] + a.im[j] * b.im[j], 0);
const displaced = (shape, q) => shape.re.reduce((sum, re, j) => sum + re * q.re[j] - shape.im[j] * q.im[j], 0);

function largestLength([dx, dy]) {
  let square = 0;
  for (let p = 0; p < dx.length; p++) square = Math.max(square, dx[p] * dx[p] + dy[p] * dy[p]);
  return Math.sqrt(square);
}

// Solve a small symmetric positive definite system by elimination.
function solve(matrix, right) {
  const rows = matrix.map((row, i) => [...row, right[i]]);
  const n = rows.length;
  for (let i = 0; i < n; i++) {
    for (let k = i + 1; k < n; k++) {
      const factor = rows[k][i] / rows[i][i];
      for (let c = i; c <= n; c++) rows[k][c] -= factor * rows[i][c];
    }
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let c = i + 1; c < n; c++) rows[i][n] -= rows[i][c] * rows[c][n];
    rows[i][n] /= rows[i][i];
  }
  return rows.map((row) => row[n]);
}
