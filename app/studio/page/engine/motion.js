// From what the decoder gives to a motion as generate.py keeps it: begun where it is slow, anchored so that frame 0 does
// not move, rounded to half precision. models/dynamics/seam.py, models/spectral_volume.py, models/dynamics/motion_file.py.
// A volume is a Float32Array [K][4][H][W], channels Re x, Re y, Im x, Im y, in pixels of its own W x H.

import { resizePlane } from "./resize.js";

const MEASURED_WIDTH = 64; // pixels, at which a loop's start is looked for
const LARGEST_HALF = 65504;

// -> bits of half precision, Uint16Array [K][4][H][W].
export function finishMotion(volume, [width, height], numFrames) {
  if (!volume.every(Number.isFinite)) throw new Error("the model produced values that are not finite");
  const start = slowFrame(volume, [width, height], numFrames);
  const motion = anchored(shifted(volume, width * height, start, numFrames), width * height, numFrames);
  return Uint16Array.from(motion, toHalf);
}

// The frame that is reached by no more than the median step and lies nearest to the mean position.
export function slowFrame(volume, [width, height], numFrames) {
  const size = [MEASURED_WIDTH, Math.max(1, roundHalfEven((height * MEASURED_WIDTH) / width))];
  const cells = size[0] * size[1];
  const small = resizeMotion(volume, [width, height], size);
  const frames = Array.from({ length: numFrames }, (_, t) => displacements(small, cells, t, numFrames));
  const mean = new Float64Array(2 * cells);
  for (const frame of frames) for (let p = 0; p < mean.length; p++) mean[p] += frame[p] / numFrames;
  const steps = frames.map((frame, t) => meanOf(frame, frames[(t + numFrames - 1) % numFrames], Math.abs));
  const median = [...steps].sort((a, b) => a - b)[Math.floor((numFrames - 1) / 2)];
  let [best, least] = [0, Infinity];
  frames.forEach((frame, t) => {
    const distance = meanOf(frame, mean, (difference) => difference * difference);
    if (steps[t] <= median && distance < least) [best, least] = [t, distance];
  });
  return best;
}

function meanOf(a, b, measure) {
  let sum = 0;
  for (let p = 0; p < a.length; p++) sum += measure(a[p] - b[p]);
  return sum / a.length;
}

function roundHalfEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 ? floor + 1 : floor;
}

function resizeMotion(volume, size, newSize) {
  const [cells, newCells] = [size[0] * size[1], newSize[0] * newSize[1]];
  const planes = volume.length / cells;
  const out = new Float32Array(planes * newCells);
  for (let plane = 0; plane < planes; plane++) {
    const factor = plane % 2 ? newSize[1] / size[1] : newSize[0] / size[0];
    const resized = resizePlane(volume.subarray(plane * cells, (plane + 1) * cells), size, newSize, "bilinear");
    for (let p = 0; p < newCells; p++) out[plane * newCells + p] = factor * resized[p];
  }
  return out;
}

// F_t = Re S_0 + sum_k w_k (Re S_k cos(2 pi k t / T) - Im S_k sin(2 pi k t / T)), w_k = 2 or 1 at the Nyquist frequency:
// Float32Array [2][H][W].
export function displacements(volume, cells, time, period) {
  const count = volume.length / (4 * cells);
  const out = Float32Array.from(volume.subarray(0, 2 * cells));
  for (let k = 1; k < count; k++) {
    const [weight, angle] = [2 * k === period ? 1 : 2, (2 * Math.PI * k * time) / period];
    const [cosine, sine] = [weight * Math.cos(angle), weight * Math.sin(angle)];
    const start = 4 * k * cells;
    for (let p = 0; p < 2 * cells; p++) out[p] += cosine * volume[start + p] - sine * volume[start + 2 * cells + p];
  }
  return out;
}

// The same periodic motion begun so many frames later.
function shifted(volume, cells, frames, period) {
  const out = new Float32Array(volume.length);
  for (let k = 0; k < volume.length / (4 * cells); k++) {
    const angle = (2 * Math.PI * k * frames) / period;
    const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
    const start = 4 * k * cells;
    for (let p = start; p < start + 2 * cells; p++) {
      const [re, im] = [volume[p], volume[p + 2 * cells]];
      out[p] = cosine * re - sine * im;
      out[p + 2 * cells] = sine * re + cosine * im;
    }
  }
  return out;
}

function anchored(volume, cells, period) {
  const first = displacements(volume, cells, 0, period);
  for (let p = 0; p < 2 * cells; p++) {
    volume[p] -= first[p];
    volume[2 * cells + p] = 0;
  }
  return volume;
}

// Half precision ------------------------------------------------------------------------------------------------------

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

// Bits of the nearest number of half precision, ties to even; larger ones become the largest.
export function toHalf(value) {
  float[0] = Math.min(LARGEST_HALF, Math.max(-LARGEST_HALF, value));
  const sign = (bits[0] >>> 16) & 0x8000;
  const size = bits[0] & 0x7fffffff;
  if (size < 0x38800000) return sign | roundHalfEven(Math.abs(float[0]) * 2 ** 24); // below 2^-14: steps of 2^-24
  // 13 bits of the fraction go, and 112 of the exponent; what is carried goes into the exponent.
  return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
}

const VALUES = Float32Array.from({ length: 1 << 16 }, (_, half) => {
  const [sign, exponent, fraction] = [half & 0x8000 ? -1 : 1, (half >>> 10) & 31, half & 1023];
  return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
});

// The number that bits of half precision stand for; none of ours is infinite.
export const fromHalf = (half) => VALUES[half];
