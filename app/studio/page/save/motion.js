// A motion as generate.py keeps it: a safetensors file that models.dynamics.motion_file reads, written and read here.

import { fromHalf, toHalf } from "../engine/motion.js";

const NAME = "spectral_volume";

// The motion where the photo may move: halves [K][4][H][W].
function movingHalves(motion, free) {
  if (free.every((share) => share === 1)) return motion.halves;
  const cells = free.length;
  return motion.halves.map((half, p) => toHalf(fromHalf(half) * free[p % cells]));
}

// The file of a motion where it may move.
export function motionFile(manifest, photo, motion, free) {
  const { num_frames, fps, num_frequencies } = manifest.model;
  const halves = movingHalves(motion, free);
  const header = {
    __metadata__: {
      format_version: "1",
      num_frames: String(num_frames),
      fps: String(fps),
      photo_size: photo.size.join("x"),
      photo_sha256: photo.sha256,
    },
    [NAME]: {
      dtype: "F16",
      shape: [num_frequencies, 4, motion.size[1], motion.size[0]],
      data_offsets: [0, halves.byteLength],
    },
  };
  const json = JSON.stringify(header);
  const text = new TextEncoder().encode(json.padEnd(8 * Math.ceil(json.length / 8)));
  const length = new DataView(new ArrayBuffer(8));
  length.setBigUint64(0, BigInt(text.length), true);
  return new Blob([length, text, halves], { type: "application/octet-stream" });
}

// What such a file of half precision holds: {halves, Uint16Array [K][4][H][W], size [W, H]}.
export async function readMotion(blob) {
  const buffer = await blob.arrayBuffer();
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const { dtype, shape, data_offsets: [start, end] } = header[NAME];
  if (dtype !== "F16") throw new Error(`the motion is of ${dtype}, F16 was expected`);
  return { halves: new Uint16Array(buffer.slice(8 + length + start, 8 + length + end)), size: [shape[3], shape[2]] };
}
