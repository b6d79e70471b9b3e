// Antialiased resizing as PyTorch's interpolate(..., antialias=True) does it, and the size at which the model looks at a
// photo: models/photos.py.

const KERNELS = {
  bilinear: { reach: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { reach: 2, at: cubic },
};

// Keys' cubic with a = -1/2.
function cubic(x) {
  x = Math.abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

// Of each new sample: where the old ones that make it begin, and their weights.
function taps(before, after, kernel) {
  const scale = before / after;
  const wide = Math.max(scale, 1);
  return Array.from({ length: after }, (_, i) => {
    const centre = scale * (i + 0.5);
    const first = Math.max(0, Math.trunc(centre - kernel.reach * wide + 0.5));
    const end = Math.min(before, Math.trunc(centre + kernel.reach * wide + 0.5));
    const weights = Float64Array.from({ length: end - first }, (_, j) => kernel.at((first + j - centre + 0.5) / wide));
    const total = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => weight / total) };
  });
}

// Samples lie `step` apart in `values`, those of one row begin at start(row); what comes out is packed by rows.
function resizeRows(values, rows, start, step, before, after, kernel) {
  const out = new Float32Array(rows * after);
  taps(before, after, kernel).forEach(({ first, weights }, i) => {
    for (let row = 0; row < rows; row++) {
      let sum = 0;
      for (let j = 0, at = start(row) + first * step; j < weights.length; j++, at += step) sum += weights[j] * values[at];
      out[row * after + i] = sum;
    }
  });
  return out;
}

// One plane, Float32Array [height][width] -> [newHeight][newWidth].
export function resizePlane(values, [width, height], [newWidth, newHeight], kind) {
  if (width === newWidth && height === newHeight) return values;
  const kernel = KERNELS[kind];
  const across = resizeRows(values, height, (row) => row * width, 1, width, newWidth, kernel);
  const down = resizeRows(across, newWidth, (column) => column, newWidth, height, newHeight, kernel);
  return transposed(down, newWidth, newHeight);
}

function transposed(values, rows, columns) {
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) for (let c = 0; c < columns; c++) out[c * rows + row] = values[row * columns + c];
  return out;
}

// RGBA bytes of a photo -> Float32Array [3][height][width] in [-1, 1] at a new size: resize_photo.
export function photoPlanes(rgba, size, newSize) {
  const cells = newSize[0] * newSize[1];
  const planes = new Float32Array(3 * cells);
  for (let channel = 0; channel < 3; channel++) {
    const plane = new Float32Array(size[0] * size[1]);
    for (let p = 0; p < plane.length; p++) plane[p] = rgba[4 * p + channel] / 127.5 - 1;
    const resized = resizePlane(plane, size, newSize, "bicubic");
    for (let p = 0; p < cells; p++) planes[channel * cells + p] = Math.min(1, Math.max(-1, resized[p]));
  }
  return planes;
}

// [width, height] at which the model sees a photo: both multiples of `multiple`, the shape as close to the photo's and
// the area to the training size's as that allows. Shape counts twice as much as area.
export function modelSize(photoSize, trainingSize, multiple) {
  const ratio = Math.log(photoSize[0] / photoSize[1]);
  const area = Math.log(trainingSize[0] * trainingSize[1]);
  const longest = Math.max(2, Math.floor((2 * trainingSize[0] * trainingSize[1]) / multiple ** 2));
  const sides = Array.from({ length: longest }, (_, i) => (i + 1) * multiple);
  let [best, least] = [null, Infinity];
  for (const width of sides) {
    for (const height of sides) {
      const [w, h] = [Math.log(width), Math.log(height)];
      const cost = 2 * Math.abs(w - h - ratio) + Math.abs(w + h - area);
      if (cost < least) [best, least] = [[width, height], cost];
    }
  }
  return best;
}
