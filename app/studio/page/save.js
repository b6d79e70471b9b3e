// What can be kept: the loop as a video, the page to poke, the motion for generate.py.
/* global RECORDING_TYPES, Warp, setPaused */

import { fromHalf, toHalf } from "./engine/motion.js";
import { headerOf, loseContext } from "./stage.js";
import { encodeLoop, findCodec } from "./webm.js";

const VIDEO_SIDE = 1024; // pixels of the longer side of a saved loop
const PAGE_SIDE = 1024; // of the photo in a saved page: app.viewer.page
const LEVELS = 127;

export function download(blob, name) {
  const link = document.createElement("a");
  link.download = name;
  link.href = URL.createObjectURL(blob);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return name;
}

export function stemOf(photo) {
  return photo.name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}_-]+/gu, "_").slice(0, 60) || "photo";
}

// Video ----------------------------------------------------------------------------------------------------------------

// The loop, once, as it is drawn; told(done, total) after each frame. A browser that can't encode records what it shows.
export async function saveVideo(stage, manifest, photo, told) {
  const { num_frames: frames, fps } = manifest.model;
  const [width, height] = evenSize(photo.size, VIDEO_SIDE);
  const codec = await findCodec(width, height, fps);
  if (!codec) return recordLoop(stage, frames / fps);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const warp = new Warp(canvas, photo.bitmap, stage.viewer.basis);
  const count = Math.max(2, Math.round(frames / stage.settings.speed));
  const draw = (index) => warp.draw(...stage.displacedAt((index * frames) / fps / count), false);
  try {
    return await encodeLoop(canvas, codec, { count, fps, draw, told: (done) => told(done, count) });
  } finally {
    loseContext(warp);
  }
}

function evenSize(size, longest) {
  const scale = Math.min(1, longest / Math.max(...size));
  return size.map((side) => Math.max(16, 2 * Math.round((side * scale) / 2)));
}

async function recordLoop(stage, period) {
  const type = globalThis.MediaRecorder && RECORDING_TYPES.find((name) => MediaRecorder.isTypeSupported(name));
  if (!type || !stage.viewer.canvas.captureStream) throw new Error("this browser makes no videos; save the page to poke it");
  const parts = [];
  const recorder = new MediaRecorder(stage.viewer.canvas.captureStream(), { mimeType: type, videoBitsPerSecond: 12e6 });
  recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
  const stopped = new Promise((resolve) => recorder.addEventListener("stop", resolve, { once: true }));
  stage.playLoop();
  setPaused(stage.viewer, false);
  recorder.start();
  setTimeout(() => recorder.stop(), (1000 * period) / stage.settings.speed);
  await stopped;
  recorder.stream.getTracks().forEach((track) => track.stop());
  return new Blob(parts, { type: type.split(";")[0] });
}

// Motion ---------------------------------------------------------------------------------------------------------------

// The motion where the photo may move: halves [K][4][H][W].
function movingHalves(motion, free) {
  if (free.every((share) => share === 1)) return motion.halves;
  const cells = free.length;
  return motion.halves.map((half, p) => toHalf(fromHalf(half) * free[p % cells]));
}

// A safetensors file that models.dynamics.motion_file reads.
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
    spectral_volume: {
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

// Page to poke ---------------------------------------------------------------------------------------------------------

// One HTML file, as app.viewer.page writes it; `parts` are those of viewer/page.json.
export async function pokePage(parts, manifest, photo, motion, free) {
  const cells = free.length;
  const start = 4 * cells;
  const values = Float32Array.from(motion.halves.subarray(start), (half, p) => fromHalf(half) * free[p % cells]);
  const header = headerOf(manifest, photo, { values, size: motion.size });
  const jpeg = await jpegOf(photo.bitmap);
  header.photo = { width: jpeg.width, height: jpeg.height };
  const filled = {
    title: escapeHtml(header.title),
    width: String(jpeg.width),
    height: String(jpeg.height),
    photo: jpeg.url,
    loop: "",
    header: JSON.stringify(header).replaceAll("<", "\\u003c"),
    modes: await packed(values, header.modes),
  };
  const html = parts.map((part, index) => (index % 2 ? filled[part] : part));
  return new Blob(html, { type: "text/html" });
}

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;" };
const escapeHtml = (value) => value.replace(/[&<>"']/g, (letter) => ENTITIES[letter]);

async function jpegOf(bitmap) {
  const scale = Math.min(1, PAGE_SIDE / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, width, height);
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
  return { width, height, url: `data:image/jpeg;base64,${await base64(blob)}` };
}

// encode_modes of app.viewer.page: square roots in 127 levels, differences along rows and then columns, deflated.
async function packed(values, { width, height, scales }) {
  const cells = width * height;
  const levels = new Int8Array(values.length);
  for (let start = 0; start < values.length; start += cells) {
    const scale = scales[Math.floor(start / (4 * cells))] || 1;
    const plane = Int8Array.from(values.subarray(start, start + cells), (value) => {
      return Math.sign(value) * Math.round(LEVELS * Math.sqrt(Math.abs(value) / scale));
    });
    for (let p = cells - 1; p >= 0; p--) if (p % width) plane[p] -= plane[p - 1];
    for (let p = cells - 1; p >= width; p--) plane[p] -= plane[p - width];
    levels.set(plane, start);
  }
  const stream = new Blob([levels]).stream().pipeThrough(new CompressionStream("deflate"));
  return base64(await new Response(stream).blob());
}

async function base64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let letters = "";
  for (let at = 0; at < bytes.length; at += 0x8000) letters += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(letters);
}
