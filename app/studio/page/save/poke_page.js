// The page to poke, with this photo and its motion in it.

import { fromHalf } from "../engine/motion.js";
import { headerOf } from "../stage.js";

const PAGE_SIDE = 1024; // pixels of the longer side of the photo: app.viewer.page
const LARGEST_LOOP = 1_500_000; // bytes
const LEVELS = 127;

// One HTML file, as app.viewer.page writes it.
//   parts: those of viewer/page.json; free: where it may move; amplitude: how far, as a factor; loop: a rendered MP4 to be
//   put into it, or null.
export async function pokePage(parts, { manifest, photo, motion, free, amplitude, loop }) {
  const cells = free.length;
  const start = 4 * cells;
  const values = Float32Array.from(motion.halves.subarray(start), (half, p) => amplitude * fromHalf(half) * free[p % cells]);
  const header = headerOf(manifest, photo, { values, size: motion.size });
  const jpeg = await jpegOf(photo.bitmap);
  header.photo = { width: jpeg.width, height: jpeg.height };
  const fits = loop !== null && loop.size <= LARGEST_LOOP;
  if (fits) header.loop = { included: true, note: "This is the loop as generate.py rendered it." };
  const filled = {
    title: escapeHtml(header.title),
    width: String(jpeg.width),
    height: String(jpeg.height),
    photo: jpeg.url,
    loop: fits ? `<video id="loop" hidden muted loop playsinline preload="auto" src="data:video/mp4;base64,${await base64(loop)}"></video>` : "",
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
