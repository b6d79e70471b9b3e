// The Python on this machine as the engine: photos are sent to the server that this page came from (app.server.routes).
// What both engines offer:
//   words: where the photo stays.                     ready: nothing has to be fetched or started any more.
//   stages(): of the progress of a photo.             warm(): begin to get ready.
//   read(file, how) -> the photo.                     open(photo, how) -> what computes, in words.
//   sample({photo, seed, wind}, how) -> its motion.   render: null, or ({photo, motion, ...}, how) -> the loop as a file.
// how: {told, signal}, told of {stage, done, total}.

import { readPhoto } from "../intake.js";
import { readMotion } from "../save/motion.js";

const GONE = "The server does not answer. Is python generate.py --serve still running?";
const TYPES = { mp4: "video/mp4", webm: "video/webm", webp: "image/webp", jpg: "image/jpeg" };

export class PythonEngine {
  constructor(manifest) {
    this.manifest = manifest;
    this.ready = true;
    this.words = "All of it is worked out by Python on this machine, which the photo does not leave.";
  }

  stages() {
    return ["wait", "read", "motion"];
  }

  warm() {}

  // Formats that the browser does not know, Python may.
  read(file, how) {
    return readPhoto(file, async () => {
      const { files, size } = await this.ask("picture", file, { name: file.name }, how);
      return { picture: files["photo.jpg"], size };
    });
  }

  async open() {
    return "Computed by Python.";
  }

  async sample({ photo, seed, wind }, how) {
    const told = this.manifest.model.wind === null ? { seed } : { seed, wind };
    const { files, warning } = await this.ask("motion", photo.file, { name: photo.name, ...told }, how);
    return { ...(await readMotion(files["motion.safetensors"])), seed, wind, warning };
  }

  // motion: its file; amplitude, speed, size (of the longer side; "" as the server was started) and format of the loop.
  async render({ photo, motion, ...wanted }, how) {
    const given = { name: photo.name, photo_bytes: photo.file.size, ...wanted };
    const { files } = await this.ask("loop", new Blob([photo.file, motion]), given, how);
    return files[`loop.${wanted.format}`];
  }

  async ask(kind, body, given, { told, signal }) {
    const headers = { "X-Token": this.manifest.token };
    try {
      const response = await fetch(`${kind}?${new URLSearchParams(given)}`, { method: "POST", headers, body, signal });
      if (response.ok) return await answerOf(response.body.getReader(), told);
      const { error } = await response.json().catch(() => ({}));
      throw new Error(error || `The server answers ${response.status}.`);
    } catch (error) {
      throw error instanceof TypeError ? new Error(GONE) : error; // fetch knows no other for a connection that fails
    }
  }
}

// Lines of JSON tell how far it is; after the last one come the files that it names.
async function answerOf(reader, told) {
  let rest = new Uint8Array(0);
  const next = async () => {
    const { done, value } = await reader.read();
    if (done) throw new Error(GONE);
    return value;
  };
  for (;;) {
    const end = rest.indexOf(10);
    if (end < 0) {
      rest = new Uint8Array(await new Blob([rest, await next()]).arrayBuffer());
      continue;
    }
    const message = JSON.parse(new TextDecoder().decode(rest.subarray(0, end)));
    rest = rest.subarray(end + 1);
    if (message.error) throw new Error(message.error);
    if (message.files) return { ...message, files: await filesOf(message.files, rest, next) };
    told(message);
  }
}

async function filesOf(sizes, first, next) {
  const total = Object.values(sizes).reduce((sum, size) => sum + size, 0);
  const parts = [first];
  for (let found = first.length; found < total; found += parts.at(-1).length) parts.push(await next());
  const whole = new Blob(parts);
  let at = 0;
  return Object.fromEntries(Object.entries(sizes).map(([name, size]) => [name, whole.slice(at, (at += size), TYPES[name.split(".").at(-1)])]));
}
