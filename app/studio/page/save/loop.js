// The loop as a file: every frame of it drawn and encoded in turn, so that it is seamless however slow the machine is.
/* global RECORDING_TYPES, Warp, setPaused */

import { loseContext } from "../stage.js";
import { mp4 } from "./mp4.js";
import { webm } from "./webm.js";
import { imageOf, webp } from "./webp.js";

// What a video of each format is encoded by, the best first: WebCodecs' name of it, and the container's.
const CODECS = {
  mp4: [["avc1.640028", "avc1"], ["avc1.42e028", "avc1"]],
  webm: [["vp09.00.31.08", "V_VP9"], ["vp8", "V_VP8"]],
};
const TYPES = { mp4: "video/mp4", webm: "video/webm", webp: "image/webp" };
const QUALITY = 0.8; // of the pictures of an animated WebP
const SMALL = [256, 256]; // a size to ask with whether something is encoded at all

// The formats that this browser makes, the best first; "recording" is what it makes of a loop as it plays.
export async function formatsMade(fps) {
  const found = [];
  for (const format of ["mp4", "webm"]) if (await findCodec(CODECS[format], ...SMALL, fps)) found.push(format);
  if (!found.length && recordingType()) found.push("recording");
  const picture = await new Promise((resolve) => document.createElement("canvas").toBlob(resolve, TYPES.webp));
  if (picture?.type === TYPES.webp) found.push("webp");
  return found;
}

// The first of some codecs that the browser encodes, or null.
async function findCodec(codecs, width, height, fps) {
  if (!globalThis.VideoEncoder) return null;
  for (const [codec, name] of codecs) {
    const config = { codec, width, height, framerate: fps, bitrate: 6_000_000, latencyMode: "realtime" };
    if (name === "avc1") config.avc = { format: "avc" };
    const { supported } = await VideoEncoder.isConfigSupported(config).catch(() => ({ supported: false }));
    if (supported) return { name, config };
  }
  return null;
}

// The loop, once, as it is drawn; side: pixels of its longer side; told(done, total) after each frame.
export async function saveLoop(stage, manifest, photo, { format, side, told }) {
  const { num_frames: frames, fps } = manifest.model;
  if (format === "recording") return recordLoop(stage, frames / fps);
  const [width, height] = evenSize(photo.size, side);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const warp = new Warp(canvas, photo.bitmap, stage.viewer.basis);
  const count = Math.max(2, Math.round(frames / stage.settings.speed));
  const draw = (index) => warp.draw(...stage.displacedAt((index * frames) / fps / count), false);
  const loop = { width, height, fps, count, draw, told: (done) => told(done, count) };
  try {
    const parts = format === "webp" ? await pictures(canvas, loop) : await video(canvas, loop, format);
    return new Blob(parts, { type: TYPES[format] });
  } finally {
    loseContext(warp);
  }
}

function evenSize(size, longest) {
  const scale = Math.min(1, longest / Math.max(...size));
  return size.map((side) => Math.max(16, 2 * Math.round((side * scale) / 2)));
}

async function pictures(canvas, { count, fps, draw, told, width, height }) {
  const images = [];
  for (let index = 0; index < count; index++) {
    draw(index);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, TYPES.webp, QUALITY));
    images.push(imageOf(new Uint8Array(await blob.arrayBuffer())));
    await told(index + 1);
  }
  return webp(images, { width, height, fps });
}

async function video(canvas, loop, format) {
  const { width, height, fps, count } = loop;
  const codec = await findCodec(CODECS[format], width, height, fps);
  if (!codec) throw new Error(`this browser makes no ${format} of ${width} by ${height} pixels; choose another size or format`);
  const { chunks, decoder } = await encode(canvas, codec.config, loop);
  const facts = { codec: codec.name, decoder, width, height, fps, count };
  return format === "mp4" ? mp4(chunks, facts) : webm(chunks, facts);
}

// -> chunks {time (milliseconds), key, data}, and what the encoder tells a decoder.
async function encode(canvas, config, { count, fps, draw, told }) {
  const chunks = [];
  let [failure, decoder] = [null, null];
  const encoder = new VideoEncoder({
    output: (chunk, facts) => {
      decoder = facts?.decoderConfig ?? decoder;
      const data = new Uint8Array(chunk.byteLength);
      chunk.copyTo(data);
      chunks.push({ time: Math.round(chunk.timestamp / 1000), key: chunk.type === "key", data });
    },
    error: (error) => (failure = error),
  });
  try {
    encoder.configure(config);
    for (let index = 0; index < count && !failure; index++) {
      draw(index);
      const frame = new VideoFrame(canvas, { timestamp: Math.round((index * 1e6) / fps), duration: Math.round(1e6 / fps) });
      encoder.encode(frame, { keyFrame: index % Math.round(2 * fps) === 0 });
      frame.close();
      while (encoder.encodeQueueSize > 4 && !failure) await new Promise((resume) => setTimeout(resume, 5));
      await told(index + 1);
    }
    if (!failure) await encoder.flush();
  } finally {
    if (encoder.state !== "closed") encoder.close();
  }
  if (failure) throw failure;
  return { chunks, decoder };
}

const recordingType = () => globalThis.MediaRecorder && RECORDING_TYPES.find((name) => MediaRecorder.isTypeSupported(name));

async function recordLoop(stage, period) {
  const type = recordingType();
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
